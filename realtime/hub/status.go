package hub

import "echotwin/realtime"

// A statusFrame tells everybody whether the log can store. It says nothing about
// a client's own connection and does not move its cursor.
type statusFrame struct {
	Type    string `json:"type"`
	Storing bool   `json:"storing"`
	*realtime.Fault
}

// SetFault tells all clients why nothing can be stored now, or with nil that it
// can again. Who connects meanwhile is told after hello. To say the same twice
// says it once.
func (h *Hub) SetFault(f *realtime.Fault) {
	was := h.fault.Swap(f)
	if f == nil && was == nil || f != nil && was != nil && f.Code == was.Code {
		return
	}
	h.each(func(s *shard, c *conn) { s.sayStatus(c) })
}

// sayStatus says how it is now, which may be later than what it was called for.
func (s *shard) sayStatus(c *conn) {
	f := s.hub.fault.Load()
	s.say(c, "status", statusFrame{Type: "status", Storing: f == nil, Fault: f})
}
