package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"echotwin/realtime"
)

type problem = realtime.Problem

func sortedKeys[V any](m map[string]V) []string {
	keys := slices.Sorted(maps.Keys(m))
	if keys == nil {
		keys = []string{}
	}
	return keys
}

// appendResult writes the value of a query as the Prometheus API does. Answers
// are long, so it is done by hand.
func appendResult(dst []byte, v parser.Value) ([]byte, error) {
	dst = append(dst, `{"resultType":"`...)
	dst = append(dst, v.Type()...)
	dst = append(dst, `","result":`...)
	switch v := v.(type) {
	case promql.Matrix:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendMetric(dst, s.Metric)
			dst = append(dst, `,"values":[`...)
			for j, p := range s.Floats {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = appendPoint(dst, p.T, p.F)
			}
			dst = append(dst, ']', '}')
		}
		dst = append(dst, ']')
	case promql.Vector:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendMetric(dst, s.Metric)
			dst = append(dst, `,"value":`...)
			dst = append(appendPoint(dst, s.T, s.F), '}')
		}
		dst = append(dst, ']')
	case promql.Scalar:
		dst = appendPoint(dst, v.T, v.V)
	case promql.String:
		text, err := json.Marshal(v.V)
		if err != nil {
			return nil, err
		}
		dst = append(appendSeconds(append(dst, '['), v.T), ',')
		dst = append(append(dst, text...), ']')
	default:
		return nil, fmt.Errorf("a query has a result of type %s", v.Type())
	}
	return append(dst, '}'), nil
}

func appendMetric(dst []byte, l labels.Labels) []byte {
	text, err := l.MarshalJSON()
	if err != nil { // strings never fail
		text = []byte("{}")
	}
	return append(append(dst, `{"metric":`...), text...)
}

func appendPoint(dst []byte, t int64, v float64) []byte {
	dst = appendSeconds(append(dst, '['), t)
	dst = append(dst, ',', '"')
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return append(strconv.AppendFloat(dst, v, format, -1, 64), '"', ']')
}

func appendSeconds(dst []byte, t int64) []byte {
	return strconv.AppendFloat(dst, float64(t)/1000, 'f', -1, 64)
}
