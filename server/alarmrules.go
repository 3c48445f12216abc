package server

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
	"echotwin/server/auth"
)

// mayRule says whether who asks may see and write a rule: all of its things lie
// within theirs, and those on which it depends whether its alarms are suppressed. An expression can ask for everything that is kept, so it is for
// those whom no pattern limits.
func mayRule(c echo.Context) func(twin.Rule) bool {
	who := userOf(c)
	return func(r twin.Rule) bool {
		return who.Everything() || !r.Asks && who.Covers(r.Pattern, realtime.Within) && outside(who, r) == ""
	}
}

// outside is a thing that a rule looks at and who asks does not see; "" for none.
func outside(who *auth.Identity, r twin.Rule) string {
	for _, thing := range r.Others {
		if !who.Covers(thing, realtime.Match) {
			return thing
		}
	}
	return ""
}

// listRules answers GET /api/alarms/rules.
func (s *Server) listRules(c echo.Context) error {
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	may, after := mayRule(c), c.QueryParam("after")
	list := slices.DeleteFunc(s.Rules.List(), func(r twin.Rule) bool { return r.ID <= after || !may(r) })
	if len(list) > limit {
		list = list[:limit]
		linkNext(c, list[limit-1].ID)
	}
	return noStore(c).JSON(http.StatusOK, list)
}

// readRule answers GET /api/alarms/rules/{id}. How it stands is not part of what
// its tag is of, so a 304 says only that nobody wrote it anew.
func (s *Server) readRule(c echo.Context) error {
	id := c.Param("id")
	r, ok := s.Rules.Rule(id)
	if !ok || !mayRule(c)(r) {
		return noRule(id)
	}
	if unchanged(noStore(c), r.Tag) {
		return c.NoContent(http.StatusNotModified)
	}
	return s.answerRule(c, r, http.StatusOK)
}

func noRule(id string) error {
	return realtime.Wrong("no_rule", "there is no alarm rule {rule}", "rule", clip(id)).Of(realtime.CodeNotFound)
}

// hidesRule says whether there is a rule of things that who asks does not see.
func (s *Server) hidesRule(c echo.Context) bool {
	r, ok := s.Rules.Rule(c.Param("id"))
	return ok && !mayRule(c)(r)
}

// ruleChange is what a write of a rule has besides the document.
func (s *Server) ruleChange(c echo.Context) (twin.RuleChange, error) {
	m, err := conditions(c)
	may, who := mayRule(c), userOf(c)
	return twin.RuleChange{By: who.User, Match: m, May: func(r twin.Rule) error {
		switch {
		case may(r):
			return nil
		case r.Asks:
			return realtime.Wrong("rule_asks", "an expression can ask for everything that is kept, and you see some things only").Of(realtime.CodeForbidden)
		}
		reaches := r.Pattern
		if who.Covers(reaches, realtime.Within) {
			reaches = outside(who, r)
		}
		return realtime.Wrong("rule_outside", "{pattern} reaches outside of the things that you see", "pattern", reaches).Of(realtime.CodeForbidden)
	}}, err
}

// createRule answers POST /api/alarms/rules.
func (s *Server) createRule(c echo.Context) error {
	change, err := s.ruleChange(c)
	if err != nil {
		return err
	}
	change.Match = twin.Match{None: true}
	doc, err := body(c, smallBody)
	if err != nil {
		return err
	}
	r, _, err := s.Rules.Put(c.Request().Context(), "", doc, change)
	if is(err, realtime.CodeChanged) {
		return realtime.Wrong("rule_taken", "there is a rule with that id already; PUT replaces it").Of(realtime.CodeConflict)
	}
	return s.wroteRule(c, r, http.StatusCreated, err)
}

// tryRule answers POST /api/alarms/rules/try: what the rule would find now.
func (s *Server) tryRule(c echo.Context) error {
	change, err := s.ruleChange(c)
	if err != nil {
		return err
	}
	doc, err := body(c, smallBody)
	if err != nil {
		return err
	}
	found, err := s.Rules.Try(c.Request().Context(), doc, change)
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, found)
}

// putRule answers PUT /api/alarms/rules/{id}.
func (s *Server) putRule(c echo.Context) error {
	if s.hidesRule(c) { // an id is one rule's, so that it is taken has to be said
		return realtime.Wrong("id_taken", "the id {id} is taken; choose another", "id", clip(c.Param("id"))).Of(realtime.CodeConflict)
	}
	change, err := s.ruleChange(c)
	if err != nil {
		return err
	}
	doc, err := body(c, smallBody)
	if err != nil {
		return err
	}
	r, created, err := s.Rules.Put(c.Request().Context(), c.Param("id"), doc, change)
	return s.wroteRule(c, r, putStatus(created), err)
}

// patchRule answers PATCH /api/alarms/rules/{id}: a JSON Merge Patch.
func (s *Server) patchRule(c echo.Context) error {
	if s.hidesRule(c) {
		return noRule(c.Param("id"))
	}
	change, err := s.ruleChange(c)
	if err != nil {
		return err
	}
	patch, err := body(c, smallBody)
	if err != nil {
		return err
	}
	r, err := s.Rules.Patch(c.Request().Context(), c.Param("id"), patch, change)
	return s.wroteRule(c, r, http.StatusOK, err)
}

// deleteRule answers DELETE /api/alarms/rules/{id}.
func (s *Server) deleteRule(c echo.Context) error {
	if s.hidesRule(c) {
		return noRule(c.Param("id"))
	}
	change, err := s.ruleChange(c)
	if err != nil {
		return err
	}
	err = s.Rules.Remove(c.Request().Context(), c.Param("id"), change)
	s.log.Info("alarm rule removed", "by", userOf(c).User, "rule", clip(c.Param("id")), "err", err)
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// wroteRule answers a write with the rule as it is now.
func (s *Server) wroteRule(c echo.Context, r twin.Rule, status int, err error) error {
	if err != nil {
		return err
	}
	s.log.Info("alarm rule written", "by", userOf(c).User, "rule", r.ID, "tag", r.Tag)
	if status == http.StatusCreated {
		c.Response().Header().Set(echo.HeaderLocation, "/api/alarms/rules/"+url.PathEscape(r.ID))
	}
	return s.answerRule(c, r, status)
}

func (s *Server) answerRule(c echo.Context, r twin.Rule, status int) error {
	c.Response().Header().Set("ETag", `"`+r.Tag+`"`)
	return noStore(c).JSON(status, r)
}
