package hub

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// connect opens a connection, over whichever wire, and goes on where the viewer
// was as far as it can. The caller holds neither lock, and no connection is
// open.
func (v *viewer) connect(t *truth) {
	rnd := v.w.rnd
	v.mu.Lock()
	defer v.mu.Unlock()
	v.truth, v.trace, v.said, v.ending, v.resume = t, nil, "", false, nil
	v.dismissed = time.Time{}
	v.last, v.chained = 0, false
	v.conn = wireConn{wire: wire(rnd.IntN(int(wires))), ended: make(chan struct{})}
	again := v.keep()
	if v.conn.wire != webSocket && !v.alike() {
		v.conn.wire = webSocket
	}
	var at *bookmark
	if len(v.subs) > 0 && len(v.cursors) > 0 && rnd.IntN(12) > 0 {
		at = v.anyCursor()
	} else {
		v.forgetAll()
	}
	v.resume, v.resumes = at, v.subs
	if v.conn.wire == webSocket {
		v.dial(at, again)
	} else {
		v.subs = append(v.subs, again...) // none, over these wires
		v.request(at)
	}
}

// keep leaves the subscriptions that can be resumed, and returns those that
// have to be asked for again.
func (v *viewer) keep() (again []*viewerSub) {
	before := len(v.subs)
	v.subs = slices.DeleteFunc(v.subs, func(s *viewerSub) bool { return s.ended != "" })
	whole := v.whole()
	if len(whole) == 0 || len(v.cursors) == 0 {
		v.forgetAll()
		return nil
	}
	for _, s := range v.subs {
		if !s.whole {
			again = append(again, &viewerSub{path: s.path, fields: s.fields, rate: s.rate})
		}
	}
	v.subs = whole
	v.fuzzy = v.fuzzy || slices.ContainsFunc(v.items, func(i item) bool { return i.resync }) && len(v.subs) < before
	v.prune()
	if again != nil {
		v.conn.wire = webSocket
	}
	return again
}

// anyCursor is the newest cursor, or one that somebody has kept.
func (v *viewer) anyCursor() *bookmark {
	at := v.cursors[len(v.cursors)-1]
	if v.w.rnd.IntN(4) == 0 {
		at = v.cursors[v.w.rnd.IntN(len(v.cursors))]
	}
	return &at
}

// alike says whether one URL can ask for all subscriptions.
func (v *viewer) alike() bool {
	return !slices.ContainsFunc(v.subs, func(s *viewerSub) bool {
		return s.rate != v.subs[0].rate || !slices.Equal(s.fields, v.subs[0].fields)
	})
}

func (v *viewer) dial(at *bookmark, again []*viewerSub) {
	nc, err := v.w.dial()
	if err != nil {
		v.lost()
		return
	}
	d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
	ws, _, err := d.Dial("ws://x/ws", http.Header{"User": {v.user}, "Session": {v.session()}})
	if err != nil {
		nc.Close()
		v.lost()
		return
	}
	v.conn.ws, v.conn.close = ws, func() { nc.Close() }
	if at != nil {
		v.sayResume(at)
		v.subs = append(v.subs, again...)
	} else {
		again = v.subs
	}
	for _, s := range again {
		v.saySub(s)
	}
	go v.readSocket(ws, v.conn.ended)
}

// lost is a connection that did not come about.
func (v *viewer) lost() {
	v.ending, v.conn.close = true, func() {}
	close(v.conn.ended)
}

func (v *viewer) sayResume(at *bookmark) {
	v.calm = v.w.calm.Load()
	v.resume, v.resumes = at, slices.Clone(v.subs)
	var subs []string
	for _, s := range v.subs {
		subs = append(subs, s.json()+"}")
	}
	v.say(`{"type":"resume","epoch":%q,"seq":%d,"subs":[%s]}`, v.epoch, at.seq, strings.Join(subs, ","))
}

func (v *viewer) saySub(s *viewerSub) {
	v.asked++
	s.ask = fmt.Sprint("n", v.asked)
	v.say(`{"type":"sub","id":%q,%s}`, s.ask, s.json()[1:])
}

func (v *viewer) readSocket(ws *websocket.Conn, ended chan struct{}) {
	defer close(ended)
	defer ws.Close()
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			v.over(err)
			return
		}
		v.take(parseFrame(v.w.t, b))
	}
}

// over notes the end of a connection, which must have a reason.
func (v *viewer) over(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var closed *websocket.CloseError
	if errors.As(err, &closed) && v.said == "closed" && closed.Code != dismissed {
		v.fail("an administrator has closed it, with %v", err)
	}
	// Who reads so slowly that the goodbye does not come out in time gets none.
	late := !v.dismissed.IsZero() && time.Since(v.dismissed) >= lingerTime
	if stalls := v.w.cfg.Limits.Stall > 0; !v.ending && v.said == "" && !stalls && !late {
		v.fail("the connection was lost: %v", err)
	}
}

// request opens a stream, over TLS also by HTTP/2.
func (v *viewer) request(at *bookmark) {
	q := url.Values{}
	for _, s := range v.subs {
		q.Add("path", s.path)
	}
	if s := v.subs[0]; s.fields != nil {
		q.Set("fields", strings.Join(s.fields, ","))
	}
	if s := v.subs[0]; s.rate > 0 {
		q.Set("rate", fmt.Sprint(s.rate))
	}
	if v.conn.wire == lines {
		q.Set("format", "ndjson")
	}
	header := http.Header{"User": {v.user}, "Session": {v.session()}}
	if cursor := ""; at != nil {
		cursor, v.calm = fmt.Sprintf("%s.%d", v.epoch, at.seq), v.w.calm.Load()
		if v.n%2 == 0 {
			header.Set("Last-Event-ID", cursor)
		} else {
			q.Set("since", cursor)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.conn.close = cancel
	req, err := http.NewRequestWithContext(ctx, "GET", v.w.srv.URL+"/events?"+q.Encode(), nil)
	if err != nil {
		v.fail("%v", err)
	}
	req.Header = header
	var trip func() (*http.Response, error)
	if v.w.tls && v.w.rnd.IntN(2) == 0 {
		trip = func() (*http.Response, error) { return v.w.srv.Client().Do(req) }
	} else if nc, err := v.w.dial(); err == nil {
		v.conn.close = func() { nc.Close() }
		trip = func() (*http.Response, error) {
			if err := req.Write(nc); err != nil {
				return nil, err
			}
			return http.ReadResponse(bufio.NewReader(nc), req)
		}
	} else {
		cancel()
		v.lost()
		return
	}
	go func(w wire, ended chan struct{}) {
		defer close(ended)
		defer cancel()
		resp, err := trip()
		if err != nil {
			v.over(err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable { // the hub has just been closed
			v.expectEnd()
		}
		v.over(v.readStream(resp, w))
	}(v.conn.wire, v.conn.ended)
}

func (v *viewer) readStream(resp *http.Response, w wire) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", resp.Status)
	}
	br := bufio.NewReader(resp.Body)
	id := ""
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "id: "):
			id = line[len("id: "):]
		case strings.HasPrefix(line, "data: "):
			f := parseFrame(v.w.t, []byte(line[len("data: "):]))
			f.cursor, id = id, ""
			v.take(f)
		case w == lines && strings.HasPrefix(line, "{"):
			v.take(parseFrame(v.w.t, []byte(line)))
		}
	}
}

// dial opens a connection to the server.
func (w *world) dial() (net.Conn, error) {
	if w.pipes != nil {
		return w.dialPipe(), nil
	}
	nc, err := net.Dial("tcp", w.srv.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	smallWindow(nc)
	if w.tls {
		return tls.Client(nc, &tls.Config{InsecureSkipVerify: true}), nil
	}
	return nc, nil
}

// cut ends the connection in the middle of whatever it was doing.
func (v *viewer) cut() {
	v.unpause()
	v.mu.Lock()
	v.ending = true
	v.mu.Unlock()
	v.conn.close()
	<-v.conn.ended
}

func (v *viewer) session() string { return fmt.Sprint("session", v.n%3) }
