package server

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
)

// asyncAPI describes the frames of /ws and /events.
//
//go:embed asyncapi.json
var asyncAPI []byte

// streamsPage is asyncAPI for people: every frame with an example to paste.
func streamsPage() ([]byte, error) {
	var doc struct {
		Info     struct{ Description string }
		Channels map[string]struct {
			Address, Title, Description string
		}
		Operations map[string]struct {
			Summary  string
			Messages []struct {
				Ref string `json:"$ref"`
			}
		}
		Components struct {
			Messages map[string]struct {
				Name, Summary string
				Examples      []struct{ Payload json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal(asyncAPI, &doc); err != nil {
		return nil, fmt.Errorf("asyncapi.json: %w", err)
	}
	type frame struct{ Name, Summary, Example string }
	type part struct {
		Title  string
		Frames []frame
	}
	var parts []part
	for _, name := range []string{"wsReceive", "wsSend"} {
		op := doc.Operations[name]
		p := part{Title: op.Summary}
		for _, m := range op.Messages {
			msg := doc.Components.Messages[m.Ref[strings.LastIndexByte(m.Ref, '/')+1:]]
			var example bytes.Buffer
			if err := json.Compact(&example, msg.Examples[0].Payload); err != nil {
				return nil, err
			}
			p.Frames = append(p.Frames, frame{msg.Name, msg.Summary, example.String()})
		}
		parts = append(parts, p)
	}
	var b bytes.Buffer
	err := streamsTemplate.Execute(&b, map[string]any{"Intro": doc.Info.Description, "Channels": doc.Channels, "Parts": parts})
	return b.Bytes(), err
}

var streamsTemplate = template.Must(template.New("streams").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Streams · echotwin</title>
<link rel="icon" href="/public/favicon.svg" type="image/svg+xml"><link rel="stylesheet" href="/public/streams.css"></head>
<body>
<header><a href="/app">echotwin</a> <a href="/docs">API docs</a></header>
<h1>Streams</h1>
<p>{{.Intro}}</p>
<p>For programs: <a href="/asyncapi.json">AsyncAPI 3.0</a>. The rest of HTTP: <a href="/docs">/docs</a>.</p>
{{range .Channels}}<h2><code>GET {{.Address}}</code> {{.Title}}</h2>
<p>{{.Description}}</p>
{{end}}<pre>wscat -c 'ws://localhost:3000/ws?path=plant/**' -H "Authorization: Bearer $TOKEN"
curl -N -H "Authorization: Bearer $TOKEN" 'http://localhost:3000/events?path=plant/line1/**&amp;fields=speed&amp;rate=2'
curl -N -H "Authorization: Bearer $TOKEN" -H 'Accept: application/x-ndjson' 'http://localhost:3000/events?path=plant/**' | jq .</pre>
{{range .Parts}}<h2>{{.Title}}</h2>
<dl>{{range .Frames}}
<dt><code>{{.Name}}</code></dt><dd>{{.Summary}}<pre>{{.Example}}</pre></dd>{{end}}
</dl>
{{end}}</body></html>
`))
