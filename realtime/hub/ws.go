package hub

import (
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// protocol is the subprotocol. A client that asks for others only is not ours.
const protocol = "echotwin.v1"

// ServeWS makes the request a WebSocket connection of v. It returns at once;
// the connection goes on by itself. The caller has checked the origin.
func (h *Hub) ServeWS(w http.ResponseWriter, r *http.Request, v Viewer) {
	up := websocket.Upgrader{
		Subprotocols: []string{protocol},
		CheckOrigin:  func(*http.Request) bool { return true },
		Error:        refuseUpgrade,
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // answered by refuseUpgrade, or the client has left
	}
	nc := ws.NetConn() // gorilla has shaken hands, and that is all
	if asked := websocket.Subprotocols(r); len(asked) > 0 && ws.Subprotocol() == "" {
		turnAway(nc, 4510, "this is "+protocol, nil)
		return
	}
	address := addressOf(r, v)
	if refused := h.door.enter(v.User, address); refused != nil {
		code := 4029
		if refused.Code == realtime.CodeUnavailable {
			code = 1012
		}
		turnAway(nc, code, refused.Code, refused)
		return
	}
	subs, problem := subsOf(r, &h.limits)
	c := h.newConn(webSocket, r, v, address, nc)
	ok := c.shard.post(func(s *shard) {
		s.add(c)
		if v.User == "" {
			c.signBy = s.now + authWait
			s.wheel.put(c, s.now, s.check(c))
		}
		s.greet(c)
		if problem != nil {
			s.sayError(c, nil, problem)
		}
		s.begin(c, subs)
	})
	if !ok {
		h.abandon(c)
		return
	}
	h.await(&reader{hub: h, conn: c, net: nc, allow: allowance{rate: h.limits.Messages}})
}

// begin starts the subscriptions of the URL, when there is somebody to see them.
func (s *shard) begin(c *conn, subs []subRequest) {
	if c.viewer.User == "" {
		c.pending = subs
		return
	}
	for i := range subs {
		s.sub(c, &subs[i], nil, "?")
	}
}

// newConn makes a connection, not yet known to its shard.
func (h *Hub) newConn(w wire, r *http.Request, v Viewer, address string, nc net.Conn) *conn {
	c := &conn{wire: w, viewer: v, address: address, agent: agentOf(r), num: h.conns.Add(1), since: h.now(), bucket: -1}
	c.shard = h.shards[c.num%uint64(len(h.shards))]
	h.stats.began(w)
	c.setExpiry(h.now())
	if nc == nil {
		return c
	}
	if k, ok := newSocket(nc); ok {
		h.tune(nc.(*net.TCPConn), h.limits.Stall)
		c.sink = k
		return c
	}
	relay := newRelay(c, func() { nc.Close() })
	c.sink = relay
	if !h.spawn(func() { relay.toConn(nc, h.limits.Stall) }) {
		nc.Close()
	}
	return c
}

// abandon ends a connection that no shard took, because the hub has ended.
func (h *Hub) abandon(c *conn) {
	h.door.leave(c.viewer.User, c.address)
	h.stats.ended(c.wire, "1012")
	c.sink.close(false)
}

func (s *shard) pong(c *conn, data string) {
	if c.gone || c.closing != nil {
		return
	}
	c.answers = append(appendHeader(c.answers, opPong, len(data)), data...)
	if len(c.answers) > maxAnswers {
		c.answers = nil
		s.bye(c, goodbye{code: 4008, word: "overflow"})
	}
	s.touch(c)
}

// refuseUpgrade answers a request that is no WebSocket handshake.
func refuseUpgrade(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	w.Header().Set("Sec-WebSocket-Version", "13")
	writeProblem(w, status, &realtime.Problem{Code: realtime.CodeMalformed,
		Message: "this is a WebSocket, such as wscat -c 'ws://host/ws?path=plant/**'; streams for curl are at /events (" + reason.Error() + ")"})
}

// turnAway says why a client may not stay. It has no shard yet, and one small
// write into a fresh socket does not wait.
func turnAway(nc net.Conn, code int, word string, r *refusal) {
	defer nc.Close()
	var out []byte
	if r != nil {
		// A struct of numbers and text cannot fail to be encoded.
		g := goodbye{word: word, message: r.Message, reconnectIn: r.retry}
		b, _ := json.Marshal(g.frame())
		out = append(appendHeader(out, opText, len(b)), b...)
	}
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	nc.Write(appendClose(out, code, word))
}
