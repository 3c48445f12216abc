package simulator

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

//go:embed things/*.json
var files embed.FS

const site = "plant/line1/"

// names are the things of the line, in the order of the bottles' way.
var names = []string{
	"line", "tank", "pump", "valve", "depalletiser", "rinser", "filler", "capper", "inspection",
	"labeller", "packer", "conveyor-1", "conveyor-2", "conveyor-3", "air", "power",
}

// belts are the names of the conveyors.
var belts = [3]string{"conveyor-1", "conveyor-2", "conveyor-3"}

// Things are the Thing Descriptions of the line. They have no forms: those are
// the server's to add, since they lead there.
func Things() []json.RawMessage {
	out := make([]json.RawMessage, 0, len(names))
	for _, n := range names {
		b, err := files.ReadFile("things/" + n + ".json")
		if err != nil {
			panic(err) // a file that is compiled in
		}
		out = append(out, b)
	}
	return out
}

// A gauge is what a description says of one property.
type gauge struct {
	min, max float64
	decimals int
}

// A spec is what the line needs of a thing's description.
type spec struct {
	period time.Duration
	gauges map[string]gauge
}

// specs reads the descriptions, so that what is published is what they say.
func specs() (map[string]spec, error) {
	out := map[string]spec{}
	for _, b := range Things() {
		var td struct {
			ID         string `json:"id"`
			Properties map[string]struct {
				Minimum  float64 `json:"minimum"`
				Maximum  float64 `json:"maximum"`
				Decimals int     `json:"echotwin:decimals"`
				Period   float64 `json:"echotwin:period"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(b, &td); err != nil {
			return nil, fmt.Errorf("simulator: %w", err)
		}
		s := spec{gauges: map[string]gauge{}}
		for name, p := range td.Properties {
			s.gauges[name] = gauge{p.Minimum, p.Maximum, p.Decimals}
			s.period = time.Duration(p.Period * float64(time.Second))
		}
		out[strings.TrimPrefix(td.ID, "urn:echotwin:"+site)] = s
	}
	return out, nil
}
