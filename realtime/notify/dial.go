package notify

import (
	"fmt"
	"net/netip"
	"syscall"
)

// refused are addresses that no receiver of alarms has, but that could be asked
// for secrets in the name of this server: above all what tells machines in a
// cloud who they are. Loopback and private networks are allowed, since plants are
// private networks.
var refused = []struct {
	net netip.Prefix
	why string
}{
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where clouds keep the secrets of their machines"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "where a cloud keeps the secrets of its machines"},
	{netip.MustParsePrefix("100.100.100.200/32"), "where a cloud keeps the secrets of its machines"},
	{netip.MustParsePrefix("168.63.129.16/32"), "where a cloud talks to its machines"},
	{netip.MustParsePrefix("192.0.0.192/32"), "where a cloud keeps the secrets of its machines"},
	{netip.MustParsePrefix("0.0.0.0/8"), "no address of a host"},
	{netip.MustParsePrefix("::/128"), "no address of a host"},
	{netip.MustParsePrefix("224.0.0.0/4"), "for many hosts at once"},
	{netip.MustParsePrefix("ff00::/8"), "for many hosts at once"},
	{netip.MustParsePrefix("255.255.255.255/32"), "for many hosts at once"},
}

// Prefixes of IPv6 with an address of IPv4 in it, and where it is.
var wrapped = []struct {
	net netip.Prefix
	at  int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("::/96"), 12},
}

// A refusal is an address that nothing is sent to.
type refusal struct{ addr, why string }

func (r *refusal) Error() string {
	return fmt.Sprintf("the host has the address %s, which nothing is sent to: it is %s", r.addr, r.why)
}

// checkDial is called with what a name has led to, before each connection, so
// that no name can lead elsewhere than where it was checked.
func checkDial(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusal{clip(address, 80), "no address of the internet"}
	}
	return checkAddr(ap.Addr())
}

func checkAddr(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	for _, r := range refused {
		if r.net.Contains(a) {
			return &refusal{a.String(), r.why}
		}
	}
	if a.Is4() || a == netip.IPv6Loopback() {
		return nil
	}
	b := a.As16()
	for _, w := range wrapped {
		if inner := netip.AddrFrom4([4]byte(b[w.at : w.at+4])); w.net.Contains(a) {
			if err := checkAddr(inner); err != nil {
				return &refusal{a.String(), "another way to write " + inner.String() + ", and that is refused"}
			}
		}
	}
	return nil
}
