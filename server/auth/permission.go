package auth

import (
	"fmt"
	"slices"
)

// A Permission is one thing that somebody may do. Every route, every frame and
// every other door asks for one of them by Identity.May or Identity.Denied; who
// has which stands in the table below and nowhere else.
type Permission string

// The permissions. Their words are what GET /api/me lists.
const (
	// Public needs nobody to be signed in.
	Public Permission = "public"

	ReadThings   Permission = "readThings"   // descriptions, values, events, streams, the dashboard itself
	ReadHistory  Permission = "readHistory"  // trends, replays, PromQL
	ReadCommands Permission = "readCommands" // what was asked of things, and what came of it
	ReadAlarms   Permission = "readAlarms"   // alarms, and what became of them
	Ask          Permission = "ask"          // the assistant
	IssueTickets Permission = "issueTickets" // for clients that can send no header

	CommandThings   Permission = "commandThings"   // have a thing do something
	WriteProperties Permission = "writeProperties" // set what a thing is to be
	AckAlarms       Permission = "ackAlarms"       // say that somebody looks after an alarm
	ShelveAlarms    Permission = "shelveAlarms"    // put an alarm aside for a while
	Report          Permission = "report"          // speak for a thing: readings, events, status

	EditThings Permission = "editThings" // describe things, and remove them
	EditAlarms Permission = "editAlarms" // limits, delays, priorities

	// OwnAccount is one's own password, tokens and sessions.
	OwnAccount Permission = "ownAccount"

	ManageUsers       Permission = "manageUsers"       // users, their roles, passwords and sessions
	ManageTokens      Permission = "manageTokens"      // tokens of others
	ManageDevices     Permission = "manageDevices"     // credentials of devices
	ManageConnections Permission = "manageConnections" // who is connected, and whom to cut off
	ManageNotify      Permission = "manageNotify"      // who outside is told of alarms
	ReadBackup        Permission = "readBackup"        // everything that is kept, secrets included
	ReadMetrics       Permission = "readMetrics"       // figures of the process, where they are not public
	Profile           Permission = "profile"           // profiles of the process
)

// A Rule is what a permission needs.
type Rule struct {
	Role  Role  // a user's role is at least this
	Scope Scope // and a token's scope at least that; a session has all that its role has

	Ticket bool // a ticket will do
	Device bool // a device's credential will do

	// Person is a session, or a token that is as good as one: of the scope admin
	// and without patterns of its own. Otherwise a token for one thing could make
	// itself one for all.
	Person bool

	// Whole is somebody whom no pattern limits, since what they get or change
	// concerns every thing.
	Whole bool
}

// rules is who may do what.
var rules = map[Permission]Rule{
	ReadThings:   {Role: Viewer, Scope: Read, Ticket: true},
	ReadHistory:  {Role: Viewer, Scope: Read, Ticket: true},
	ReadCommands: {Role: Viewer, Scope: Read},
	ReadAlarms:   {Role: Viewer, Scope: Read, Ticket: true},
	Ask:          {Role: Viewer, Scope: Read},
	IssueTickets: {Role: Viewer, Scope: Read},

	CommandThings:   {Role: Operator, Scope: Command},
	WriteProperties: {Role: Operator, Scope: Command},
	AckAlarms:       {Role: Operator, Scope: Command},
	ShelveAlarms:    {Role: Operator, Scope: Command},
	Report:          {Role: Operator, Scope: Command, Device: true},

	EditThings: {Role: Engineer, Scope: Admin},
	EditAlarms: {Role: Engineer, Scope: Admin},

	OwnAccount: {Role: Viewer, Scope: Read, Person: true},

	ManageUsers:       {Role: Administrator, Scope: Admin, Person: true, Whole: true},
	ManageTokens:      {Role: Administrator, Scope: Admin, Person: true, Whole: true},
	ManageDevices:     {Role: Administrator, Scope: Admin, Person: true, Whole: true},
	ManageConnections: {Role: Administrator, Scope: Admin, Person: true, Whole: true},
	ManageNotify:      {Role: Administrator, Scope: Admin, Person: true, Whole: true},
	ReadBackup:        {Role: Administrator, Scope: Admin, Whole: true},
	ReadMetrics:       {Role: Administrator, Scope: Admin, Whole: true},
	Profile:           {Role: Administrator, Scope: Admin, Whole: true},
}

// Permissions lists them all, in the order of their words.
func Permissions() []Permission {
	all := make([]Permission, 0, len(rules))
	for p := range rules {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// RuleOf is what a permission needs; false of a word that is none. Public is no
// permission to have: it needs nothing.
func RuleOf(p Permission) (Rule, bool) {
	r, ok := rules[p]
	return r, ok
}

// Denied says why somebody may not, and what would let them.
type Denied struct {
	Permission Permission
	Role       Role  // the least role, "" when the role is not what is missing
	Scope      Scope // the least scope of a token, "" when that is not what is missing
	Message    string
}

func (d *Denied) Error() string { return d.Message }

// May says whether the identity has a permission. Nobody has none.
func (i *Identity) May(p Permission) bool { return i.Denied(p) == nil }

// Denied is nil when the identity has the permission. ErrNone means that nobody
// is signed in, a *Denied what is missing. It says nothing about single things:
// that is Covers.
func (i *Identity) Denied(p Permission) error {
	rule, ok := rules[p]
	switch {
	case p == Public:
		return nil
	case !ok:
		return &Denied{Permission: p, Message: fmt.Sprintf("nobody may: there is no permission %q", p)}
	case i == nil:
		return ErrNone
	}
	no := func(format string, args ...any) *Denied {
		return &Denied{Permission: p, Message: fmt.Sprintf(format, args...)}
	}
	switch i.Kind {
	case ByDevice:
		if !rule.Device {
			return no("a device's credential only speaks for its things")
		}
		return nil
	case ByTicket:
		if !rule.Ticket {
			d := no("a ticket is for reading; this needs a session, or a token with the scope %s", rule.Scope)
			d.Scope = rule.Scope
			return d
		}
	}
	if i.Role.rank() < rule.Role.rank() {
		d := no("this needs the role %s, and yours is %s", rule.Role, i.Role)
		d.Role = rule.Role
		return d
	}
	if i.Kind == ByToken {
		if i.Scope.rank() < rule.Scope.rank() {
			d := no("this needs a token with the scope %s, and yours has %s", rule.Scope, i.Scope)
			d.Scope = rule.Scope
			return d
		}
		if rule.Person && (i.Scope != Admin || len(i.own) > 0) {
			d := no("sign in with a password for this, or use a token with the scope admin and for all things")
			d.Scope = Admin
			return d
		}
	}
	if rule.Whole && !i.Everything() {
		return no("this needs somebody who is not limited to some things")
	}
	return nil
}

// Missing is what the identity lacks, with the least role of each.
func (i *Identity) Missing() map[Permission]Role {
	m := map[Permission]Role{}
	for p, rule := range rules {
		if !i.May(p) {
			m[p] = rule.Role
		}
	}
	return m
}

// Allowed is what the identity may, in the order of the words.
func (i *Identity) Allowed() []Permission {
	return slices.DeleteFunc(Permissions(), func(p Permission) bool { return !i.May(p) })
}
