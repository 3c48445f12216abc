package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
)

// descriptionBody bounds a description that is sent; twin has the exact limit.
const descriptionBody = 512 << 10

// tagsOf are the entity tags of a conditional header; nil when it is not there. A
// weak tag is ours, too: a proxy that compresses makes them of ours, and what is
// in the document is the same. Were it refused with If-Match, nobody behind such
// a proxy could write.
func tagsOf(c echo.Context, header string) []string {
	var tags []string
	for _, line := range c.Request().Header.Values(header) {
		for _, t := range strings.Split(line, ",") {
			t = strings.TrimSpace(t)
			tags = append(tags, strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(t, "W/"), `"`), `"`))
		}
	}
	return tags
}

// unchanged says which version of a document is answered, and whether the reader
// has that one already.
func unchanged(c echo.Context, tag string) bool {
	c.Response().Header().Set("ETag", `"`+tag+`"`)
	return slices.Contains(tagsOf(c, "If-None-Match"), tag)
}

// conditions are If-Match and If-None-Match of a write, and what may be seen.
func conditions(c echo.Context) (twin.Match, error) {
	m := twin.Match{Tags: tagsOf(c, "If-Match"), Sees: maySee(c)}
	none := tagsOf(c, "If-None-Match")
	switch {
	case len(none) == 1 && none[0] == "*":
		m.None = true
	case none != nil:
		return m, problem(realtime.CodeMalformed, "with a write, If-None-Match can only be *: there must be no description yet")
	}
	return m, nil
}

// maySee says what the conditions of a description may look at.
func maySee(c echo.Context) func(thing string) bool {
	who := userOf(c)
	return func(thing string) bool { return who.Everything() || thing != "" && who.Covers(thing, realtime.Match) }
}

// editable takes the path of a description apart.
func (s *Server) editable(c echo.Context) (thingPath, twin.Match, error) {
	p, err := s.thingPath(c)
	if err != nil {
		return p, twin.Match{}, err
	}
	if p.part != "" {
		return p, twin.Match{}, notAllowed(c, p)
	}
	m, err := conditions(c)
	return p, m, err
}

// createThing answers POST /api/things: a Thing Description with its id.
func (s *Server) createThing(c echo.Context) error {
	td, err := body(c, descriptionBody)
	if err != nil {
		return err
	}
	given, err := idOf(td, "a Thing Description", twin.URN("plant/line1/pump-1"))
	if err != nil {
		return err
	}
	id, err := twin.Path(given)
	if err != nil {
		return wrongID(err)
	}
	if !userOf(c).Covers(id, realtime.Match) {
		return realtime.Wrong("td_outside", "you may not describe {thing}: it lies outside of the things that you see", "thing", id).Of(realtime.CodeForbidden)
	}
	_, err = s.Things.Put(c.Request().Context(), id, td, twin.Match{None: true, Sees: maySee(c)})
	if is(err, realtime.CodeChanged) {
		return realtime.Wrong("td_taken", "{thing} is described already; PUT replaces the description", "thing", id).Of(realtime.CodeConflict)
	}
	if err != nil {
		return err
	}
	return s.described(c, id, http.StatusCreated)
}

// putThing answers PUT /api/things/{id}, and PUT of a property.
func (s *Server) putThing(c echo.Context) error {
	p, err := s.thingPath(c)
	if err != nil {
		return err
	}
	if p.part != "" {
		return s.writeProperty(c, p)
	}
	m, err := conditions(c)
	if err != nil {
		return err
	}
	td, err := body(c, descriptionBody)
	if err != nil {
		return err
	}
	created, err := s.Things.Put(c.Request().Context(), p.id, td, m)
	if err != nil {
		return err
	}
	return s.described(c, p.id, putStatus(created))
}

// putStatus is the status of a write that may have made what it wrote.
func putStatus(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// patchThing answers PATCH /api/things/{id}: a JSON Merge Patch.
func (s *Server) patchThing(c echo.Context) error {
	p, m, err := s.editable(c)
	if err != nil {
		return err
	}
	patch, err := body(c, descriptionBody)
	if err != nil {
		return err
	}
	if err := s.Things.Patch(c.Request().Context(), p.id, patch, m); err != nil {
		return err
	}
	return s.described(c, p.id, http.StatusOK)
}

// described answers a write with the description as it is served now.
func (s *Server) described(c echo.Context, id string, status int) error {
	td, ok := s.Twins.TD(id, base(c))
	tag, _ := s.Twins.Tag(id)
	s.log.Info("thing described", "by", userOf(c).User, "thing", id, "tag", tag)
	if !ok { // removed again meanwhile
		return noThing(id)
	}
	return answerDoc(c, status, thingsPrefix+id, tag, "application/td+json", td)
}

// answerDoc answers a write with the document as it is now.
func answerDoc(c echo.Context, status int, path, tag, typ string, doc []byte) error {
	h := c.Response().Header()
	h.Set("ETag", `"`+tag+`"`)
	if status == http.StatusCreated {
		h.Set(echo.HeaderLocation, path)
	}
	h.Set(echo.HeaderContentType, typ)
	return noStore(c).JSONBlob(status, doc)
}

// deleteThing answers DELETE /api/things/{id}: the description, the values and
// the history go; with ?keep=data only the description.
func (s *Server) deleteThing(c echo.Context) error {
	p, m, err := s.editable(c)
	if err != nil {
		return err
	}
	keep := c.QueryParam("keep")
	if keep != "" && keep != "data" {
		return &realtime.Problem{Code: realtime.CodeInvalid, At: "?keep", Message: "keep can only be data: then the thing stays as an undescribed one"}
	}
	ctx := c.Request().Context()
	if err := s.Things.Remove(ctx, p.id, m, keep != ""); err != nil {
		return err
	}
	s.log.Info("thing removed", "by", userOf(c).User, "thing", p.id, "kept", keep)
	return c.NoContent(http.StatusNoContent)
}

// is says whether an error is a problem with that code.
func is(err error, code string) bool {
	p := &realtime.Problem{}
	return errors.As(err, &p) && p.Code == code
}

// wrongID is what is wrong with the id of a document.
func wrongID(err error) error {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p.Of(realtime.CodeInvalid).In("/id")
	}
	return err
}
