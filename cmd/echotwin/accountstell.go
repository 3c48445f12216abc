package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// entry is a user, a token, a device or a session as the API answers it.
type entry struct {
	ID, Username, Role, Name, User, Token, Password string
	Scopes, Things                                  []string
	Created                                         time.Time
	Started                                         time.Time
	Expires, Used, Seen                             *time.Time
	From, Agent                                     string
	Ended                                           *int
	Address                                         string
	Connected                                       []string
	Refused                                         *struct {
		At           time.Time
		Address, Why string
	}
}

// use says when an entry was used last, in a few words.
func (e entry) use() string {
	at := e.Used
	if at == nil {
		at = e.Seen
	}
	if at == nil {
		return "never used"
	}
	word := "used "
	if len(e.Connected) > 0 {
		word = "connected to " + strings.Join(e.Connected, ",") + ", used "
	}
	return word + at.Format(time.RFC3339) + " from " + e.Address
}

// refusal says what was refused to a device last.
func (e entry) refusal() string {
	if e.Refused == nil {
		return ""
	}
	return "refused " + e.Refused.At.Format(time.RFC3339) + " from " + e.Refused.Address + ": " + e.Refused.Why
}

// tell prints an answer for people. What is shown once comes alone on standard
// output, so that a script can keep it.
func tell(out io.Writer, a call, body []byte) error {
	if a.method != "GET" {
		var e entry
		if len(body) > 0 {
			if err := json.Unmarshal(body, &e); err != nil {
				return err
			}
		}
		if secret := e.Token + e.Password; secret != "" {
			fmt.Fprintln(os.Stderr, "It is shown only now:")
			_, err := fmt.Fprintln(out, secret)
			return err
		}
		if e.Ended != nil {
			_, err := fmt.Fprintln(out, "ended", *e.Ended)
			return err
		}
		_, err := fmt.Fprintln(out, "done")
		return err
	}
	var list []entry
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, e := range list {
		things, until := "all things", "for good"
		if len(e.Things) > 0 {
			things = strings.Join(e.Things, ",")
		}
		if e.Expires != nil {
			until = "until " + e.Expires.Format(time.RFC3339)
		}
		switch {
		case strings.HasPrefix(a.path, "/api/users"):
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Username, e.Role, things, e.Created.Format(time.DateOnly))
		case strings.HasPrefix(a.path, "/api/tokens"):
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.User, strings.Join(e.Scopes, ","), things, until, e.use(), e.Name)
		case strings.HasPrefix(a.path, "/api/sessions"):
			fmt.Fprintf(w, "%s\t%s\tsince %s from %s\t%s\t%s\t%s\n", e.ID, e.User, e.Started.Format(time.RFC3339), e.From, e.use(), until, e.Agent)
		default:
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Username, things, until, e.use(), e.refusal())
		}
	}
	return w.Flush()
}
