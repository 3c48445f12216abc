package mqtt

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"echotwin/realtime"
)

// A hook is what mochi asks before and tells after everything it does.
type hook struct {
	mochi.HookBase
	b *broker
}

func (h *hook) ID() string { return "door" }

func (h *hook) Provides(what byte) bool {
	switch what {
	case mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPacketRead,
		mochi.OnPacketEncode, mochi.OnPublish, mochi.OnSubscribe, mochi.OnSubscribed, mochi.OnUnsubscribed:
		return true
	}
	return false
}

// connOf is nil for mochi's inline client, which is us.
func connOf(cl *mochi.Client) *conn {
	if s, ok := cl.Net.Conn.(*socket); ok {
		return s.conn
	}
	return nil
}

// names keeps apart the connections inside mochi.
var names atomic.Uint64

// OnConnect signs a device in, or answers why not: mochi's own way knows one
// reason only.
func (h *hook) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	s, ok := cl.Net.Conn.(*socket)
	if !ok {
		return packets.ErrNotAuthorized
	}
	c, err := h.signIn(cl, pk)
	if err == nil {
		err = h.b.join(c)
	}
	if err != nil {
		code, ok := err.(packets.Code)
		if !ok {
			code = packets.ErrUnspecifiedError
		}
		reason := "sign_in"
		if code == packets.ErrServerBusy || code == packets.ErrServerShuttingDown {
			reason = "busy"
		}
		h.b.desk.count(reason, 1, "a device was not let in", "client", clip(pk.Connect.ClientIdentifier, 80),
			"user", clip(string(pk.Connect.Username), 80), "remote", cl.Net.Remote, "why", code.Reason)
		_ = h.b.server.SendConnack(cl, forVersion(cl, code), false, nil)
		return code
	}
	cl.ID = strconv.FormatUint(names.Add(1), 10)
	cl.Properties.Clean = true // no session outlives its connection
	cl.Properties.Props.SessionExpiryInterval = 0
	cl.Properties.Props.TopicAliasMaximum = 0 // mochi forgets that it dropped the message that set an alias
	cl.Properties.Will = mochi.Will{}
	limitKeepalive(cl)
	s.conn = c
	c.tell(News{Came: true})
	h.b.port.signedIn(s)
	return nil
}

// signIn checks credentials and the last will.
func (h *hook) signIn(cl *mochi.Client, pk packets.Packet) (*conn, error) {
	user, password := string(pk.Connect.Username), string(pk.Connect.Password)
	var cred Credential
	var err error
	switch {
	case !h.b.cfg.Open:
		cred, err = h.b.guard.check(cl.Net.Remote, user, password)
	case h.b.cfg.Authenticate != nil && password != "":
		cred, _ = h.b.guard.check(cl.Net.Remote, user, password) // wrong or not, it may come in
	}
	if err != nil {
		return nil, err
	}
	if h.b.cfg.Open {
		user, cred.Owns = "", func(string) bool { return true } // said by anybody, so it says nothing
	}
	c := newConn(user+"\x00"+cl.ID, user, cred, cl)
	if cl.Properties.Will.Flag == 0 {
		return c, nil
	}
	will := cl.Properties.Will
	if cl.Properties.ProtocolVersion == 5 && will.Qos == 2 {
		return nil, packets.ErrQosNotSupported
	}
	if _, p := h.b.address(c, will.TopicName); p != nil {
		return nil, packets.Code{Code: packets.ErrNotAuthorized.Code, Reason: "the last will: " + clip(p.Message, 300)}
	}
	c.will = &will
	return c, nil
}

// forVersion is the same refusal in the words of the device's protocol.
func forVersion(cl *mochi.Client, code packets.Code) packets.Code {
	if cl.Properties.ProtocolVersion == 5 {
		return code
	}
	if code.Code == packets.ErrServerBusy.Code || code.Code == packets.ErrServerShuttingDown.Code {
		return packets.ErrServerUnavailable // becomes 3
	}
	return packets.ErrBadUsernameOrPassword // becomes 5, not authorized
}

// limitKeepalive sees to it that a dead MQTT 5 device is noticed. A device of
// 3.1.1 cannot be told another keepalive; TCP's own finds a dead one of those
// that asked for none. Above 43,690 seconds mochi's arithmetic overflows.
func limitKeepalive(cl *mochi.Client) {
	k := &cl.State.Keepalive
	if cl.Properties.ProtocolVersion == 5 && (*k == 0 || *k > maxKeepalive) {
		*k, cl.State.ServerKeepalive = maxKeepalive, true
	}
	*k = min(*k, 43_690)
}

// OnConnectAuthenticate has nothing left to ask.
func (h *hook) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

// OnPacketEncode announces our limits, which mochi keeps but does not tell. Two
// refusals of CONNECT have codes of their own before MQTT 5, which mochi does
// not use: the version, and an empty client id of a session that is to be kept.
func (h *hook) OnPacketEncode(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if v := cl.Properties.ProtocolVersion; pk.FixedHeader.Type == packets.Connack && v != 5 && pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
		switch {
		case v < 3 || v > 5:
			pk.ReasonCode = packets.Err3UnsupportedProtocolVersion.Code
		case pk.ReasonCode == packets.ErrUnspecifiedError.Code:
			pk.ReasonCode = packets.Err3ClientIdentifierNotValid.Code
		}
	}
	if pk.FixedHeader.Type == packets.Connack && pk.ReasonCode < packets.ErrUnspecifiedError.Code {
		pk.Properties.MaximumPacketSize = maxPacket
		pk.Properties.MaximumQos, pk.Properties.MaximumQosFlag = 1, true
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 0, true
		pk.Properties.SharedSubAvailable, pk.Properties.SharedSubAvailableFlag = 0, true
	}
	return pk
}

// OnPacketRead hears the evidence for commands. It also marks topics that mochi
// would drop without a word, so that OnPublish refuses them.
func (h *hook) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	switch pk.FixedHeader.Type {
	case packets.Puback:
		if c := connOf(cl); c != nil {
			c.acked(pk.PacketID, reply{pk.ReasonCode, pk.Properties.ReasonString})
		}
	case packets.Publish:
		if strings.HasPrefix(pk.TopicName, "$") {
			pk.TopicName = "?" + pk.TopicName
		}
	}
	return pk, nil
}

// OnACLCheck decides about filters, and about messages on their way to those
// who look. Publishing is decided in OnPublish, where there is an answer to give.
func (h *hook) OnACLCheck(cl *mochi.Client, filter string, write bool) bool {
	if write {
		return true
	}
	c := connOf(cl)
	switch {
	case c == nil || strings.HasPrefix(filter, "$"):
		return false
	case h.b.cfg.Open:
		return true
	}
	return mayHear(filter, c.owns)
}

// OnSubscribe grants QoS 1 for commands and QoS 0 for looking, so that nobody
// who looks can hold anything up. One filter too many, or too long, is emptied
// and so refused as invalid.
func (h *hook) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	room := maxSubscriptions - cl.State.Subscriptions.Len()
	for i := range pk.Filters {
		f := &pk.Filters[i]
		most := byte(0)
		if strings.HasPrefix(f.Filter, "command/") {
			most = 1
		}
		f.Qos = min(f.Qos, most)
		if _, has := cl.State.Subscriptions.Get(f.Filter); !has {
			room--
		}
		if room < 0 || len(f.Filter) > maxFilter {
			f.Filter = ""
		}
	}
	return pk
}

func (h *hook) OnSubscribed(cl *mochi.Client, pk packets.Packet, codes []byte) {
	c := connOf(cl)
	if c == nil {
		return
	}
	for i, f := range pk.Filters {
		if codes[i] >= packets.ErrUnspecifiedError.Code {
			h.b.desk.count("subscription", 1, "a subscription was refused", "client", c.name(), "filter", clip(f.Filter, 80))
			c.tell(News{Refused: "it asked for messages that it may not hear: " + clip(f.Filter, 80)})
			continue
		}
		h.follows(c, f.Filter, codes[i] == 1)
	}
}

// follows notes whether a connection asks for commands by a filter.
func (h *hook) follows(c *conn, filter string, on bool) {
	c.mu.Lock()
	was := c.filters[filter]
	if on {
		c.filters[filter] = true
	} else {
		delete(c.filters, filter)
	}
	c.mu.Unlock()
	switch {
	case on && !was:
		h.b.hears(1, filter)
	case was && !on:
		h.b.hears(-1, filter)
	}
}

func (h *hook) OnUnsubscribed(cl *mochi.Client, pk packets.Packet) {
	c := connOf(cl)
	if c == nil {
		return
	}
	for _, f := range pk.Filters {
		h.follows(c, f.Filter, false)
	}
}

// OnPublish returns when what the device said is stored: mochi acknowledges
// after it.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil {
		return pk, nil // ours
	}
	h.b.desk.took()
	c.spoke()
	v5, qos := cl.Properties.ProtocolVersion == 5, pk.FixedHeader.Qos
	if v5 && qos == 2 {
		h.b.desk.count("protocol", 1, "a device used QoS 2 though told that 1 is the maximum", "client", c.name())
		_ = h.b.server.DisconnectClient(cl, packets.ErrQosNotSupported)
		return pk, packets.ErrRejectPacket
	}
	pk.FixedHeader.Retain = false
	var retry <-chan time.Time
	if !v5 && qos > 0 {
		retry = time.After(h.b.patience)
	}
	name, wrong := correlate(pk.TopicName, pk.Properties.CorrelationData)
	var err error
	if wrong != nil {
		h.b.refuse(c, "", wrong)
		err = wrong
	} else {
		err = h.b.take(c, name, pk.Payload, qos, retry)
	}
	p := refusal(err)
	switch {
	case err == nil:
		return pk, nil
	case qos == 0:
		return pk, packets.ErrRejectPacket
	case p != nil && v5:
		return pk, packets.Code{Code: reasonCode(p), Reason: clip(p.Error(), 500)}
	case p != nil:
		return pk, packets.CodeSuccessIgnore
	case v5:
		return pk, packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: "the reading could not be stored now, send it again"}
	}
	cl.Stop(packets.ErrServerUnavailable)
	return pk, packets.ErrRejectPacket
}

// reasonCode is the problem as PUBACK can say it.
func reasonCode(p *realtime.Problem) byte {
	switch p.Code {
	case realtime.CodeForbidden:
		return packets.ErrNotAuthorized.Code
	case realtime.CodeNotFound:
		return packets.ErrTopicNameInvalid.Code
	case realtime.CodeTooMany, realtime.CodeTooLarge:
		return packets.ErrQuotaExceeded.Code
	}
	return packets.ErrPayloadFormatInvalid.Code
}
