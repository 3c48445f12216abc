package hub

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const fuzzLimit = 256

// What a client says is read as gorilla reads it, however it is cut, and what
// gorilla would close it for it is closed for, with the same code.
func FuzzInbound(f *testing.F) {
	mask := "\x00\x00\x00\x00"
	f.Add([]byte("\x81\x82"+mask+"{}\x89\x81"+mask+"x\x88\x82"+mask+"\x02\xea"), 3)
	f.Add([]byte("\x01\x82"+mask+"{}\x8a\x80"+mask+"\x80\x80"+mask), 1)
	f.Add([]byte("\x82\xfe\x00\x02"+mask+"ab\x02\x80"+mask+"\x00\x81"+mask+"c\x80\x81"+mask+"d"), 5)
	f.Add([]byte("\x81\xff\x00\x00\x00\x00\x00\x00\x01\x01"+mask), 2)
	f.Add([]byte("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"+mask), 100)
	f.Add([]byte("\x88\x81"+mask+"x"), 9)
	f.Add([]byte("\x88\x83"+mask+"\x02\xea\xfc"), 9)
	f.Add([]byte("\xc1\x80"+mask+"\x01\x80"+mask+"\x81\x80"+mask), 9)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		want, wantCode := gorillaReads(t, b)
		got, code := weRead(bytes.Clone(b), min(max(step, 1), len(b)+1))
		if code == websocket.CloseMessageTooBig && wantCode == 0 {
			wantCode = code // gorilla waits for the mask of a frame that it will not take
		}
		if code != wantCode || !slices.Equal(got, want) {
			t.Fatalf("read %q and closed with %d, want %q and %d", got, code, want, wantCode)
		}
	})
}

// weRead is the messages in b, each behind its opcode, and what the client is
// closed with; zero when it is cut off.
func weRead(b []byte, step int) (said []string, code int) {
	var a assembly
	for part := range slices.Chunk(b, step) {
		wrong, ok := a.take(part, fuzzLimit, func(op byte, body []byte) bool {
			switch op {
			case opClose:
				if code = closeCodeOf(body); len(body) == 1 {
					code = websocket.CloseNormalClosure // as gorilla has it, against RFC 6455
				}
				return false
			case opText, opBinary:
				said = append(said, string(op)+string(body))
			}
			return true
		})
		if !ok {
			return said, max(code, wrong)
		}
	}
	return said, 0
}

// gorillaReads has gorilla read b, over a connection without a network.
func gorillaReads(t *testing.T, b []byte) (said []string, code int) {
	nc := &tape{in: bytes.NewReader(b)}
	r := httptest.NewRequest("GET", "/ws", nil)
	for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(k, v)
	}
	ws, err := (&websocket.Upgrader{ReadBufferSize: 512}).Upgrade(hijacked{httptest.NewRecorder(), nc}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(fuzzLimit)
	nc.out.Reset()
	for {
		kind, b, err := ws.ReadMessage()
		if err == nil {
			said = append(said, string(byte(kind))+string(b))
			continue
		}
		// What it answers says the code: that of a broken frame is in no error.
		if errors.Is(err, websocket.ErrReadLimit) {
			return said, websocket.CloseMessageTooBig
		}
		for out := nc.out.Bytes(); len(out) >= 2; out = out[2+int(out[1]):] { // pongs come before
			if out[0] == 0x80|opClose {
				if out[1] < 2 {
					return said, websocket.CloseNormalClosure
				}
				return said, int(out[2])<<8 | int(out[3])
			}
		}
		return said, 0
	}
}

type hijacked struct {
	http.ResponseWriter
	nc net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.nc, bufio.NewReadWriter(bufio.NewReader(http.NoBody), bufio.NewWriter(h.nc)), nil
}

// A tape is a connection that plays what a client said and keeps the answers.
type tape struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (t *tape) Read(b []byte) (int, error)     { return t.in.Read(b) }
func (t *tape) Write(b []byte) (int, error)    { return t.out.Write(b) }
func (*tape) Close() error                     { return nil }
func (*tape) LocalAddr() net.Addr              { return nil }
func (*tape) RemoteAddr() net.Addr             { return nil }
func (*tape) SetDeadline(time.Time) error      { return nil }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }
