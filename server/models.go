package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
	"echotwin/server/auth"
)

const modelType = "application/tm+json"

// modelRoutes are the Thing Models that descriptions are made of. Whoever reads
// things may read all of them: a model says nothing of any thing. Changing one
// changes things, and is for those who may see all of those.
func (s *Server) modelRoutes() {
	s.get("/api/models", auth.ReadThings, s.listModels, s.limitAnswer, zipped)
	s.get("/api/models/:id", auth.ReadThings, s.readModel, s.limitAnswer)
	s.get("/api/models/:id/uses", auth.ReadThings, s.modelUse, s.limitAnswer)
	s.post("/api/models", auth.EditThings, s.createModel)
	s.put("/api/models/:id", auth.EditThings, s.putModel)
	s.patch("/api/models/:id", auth.EditThings, s.patchModel)
	s.delete("/api/models/:id", auth.EditThings, s.deleteModel)
}

// listModels answers GET /api/models: Thing Models, by name.
func (s *Server) listModels(c echo.Context) error {
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	after := c.QueryParam("after")
	names := slices.DeleteFunc(s.Things.Models(), func(name string) bool { return name <= after })
	models := make([]json.RawMessage, 0, min(len(names), limit))
	for i, name := range names {
		if i == limit {
			linkNext(c, names[i-1])
			break
		}
		if m, ok := s.Things.Model(name); ok {
			models = append(models, m.Doc)
		}
	}
	return noStore(c).JSON(http.StatusOK, models)
}

func noModel(name string) error {
	return problem(realtime.CodeNotFound, "there is no model %s", clip(name))
}

// readModel answers GET /api/models/{id}.
func (s *Server) readModel(c echo.Context) error {
	m, ok := s.Things.Model(c.Param("id"))
	if !ok {
		return noModel(c.Param("id"))
	}
	if unchanged(c, m.Tag) {
		return noStore(c).NoContent(http.StatusNotModified)
	}
	c.Response().Header().Set(echo.HeaderContentType, modelType)
	return noStore(c).JSONBlob(http.StatusOK, m.Doc)
}

// modelUse answers GET /api/models/{id}/uses: what a thing has to say to be made
// of it, and which are.
func (s *Server) modelUse(c echo.Context) error {
	u, ok := s.Things.ModelUse(c.Param("id"), covers(userOf(c)))
	if !ok {
		return noModel(c.Param("id"))
	}
	return noStore(c).JSON(http.StatusOK, u)
}

// createModel answers POST /api/models: a Thing Model with its id.
func (s *Server) createModel(c echo.Context) error {
	tm, err := body(c, descriptionBody)
	if err != nil {
		return err
	}
	id, err := idOf(tm, "a Thing Model", twin.ModelPrefix+"pump")
	if err != nil {
		return err
	}
	name, err := twin.ModelName(id)
	if err != nil {
		return wrongID(err)
	}
	_, err = s.Things.PutModel(c.Request().Context(), name, tm, twin.Match{None: true, Sees: maySee(c)}, covers(userOf(c)))
	if is(err, realtime.CodeChanged) {
		return problem(realtime.CodeConflict, "there is a model %s already; PUT replaces it", name)
	}
	if err != nil {
		return err
	}
	return s.modelled(c, name, http.StatusCreated)
}

// putModel answers PUT /api/models/{id}.
func (s *Server) putModel(c echo.Context) error {
	m, err := conditions(c)
	if err != nil {
		return err
	}
	tm, err := body(c, descriptionBody)
	if err != nil {
		return err
	}
	created, err := s.Things.PutModel(c.Request().Context(), c.Param("id"), tm, m, covers(userOf(c)))
	if err != nil {
		return err
	}
	return s.modelled(c, c.Param("id"), putStatus(created))
}

// patchModel answers PATCH /api/models/{id}: a JSON Merge Patch.
func (s *Server) patchModel(c echo.Context) error {
	m, err := conditions(c)
	if err != nil {
		return err
	}
	patch, err := body(c, descriptionBody)
	if err != nil {
		return err
	}
	if err := s.Things.PatchModel(c.Request().Context(), c.Param("id"), patch, m, covers(userOf(c))); err != nil {
		return err
	}
	return s.modelled(c, c.Param("id"), http.StatusOK)
}

// modelled answers a write with the model as it is now.
func (s *Server) modelled(c echo.Context, name string, status int) error {
	m, ok := s.Things.Model(name)
	s.log.Info("model changed", "by", userOf(c).User, "model", name, "tag", m.Tag)
	if !ok { // removed again meanwhile
		return noModel(name)
	}
	return answerDoc(c, status, "/api/models/"+name, m.Tag, modelType, m.Doc)
}

// deleteModel answers DELETE /api/models/{id}.
func (s *Server) deleteModel(c echo.Context) error {
	m, err := conditions(c)
	if err != nil {
		return err
	}
	name := c.Param("id")
	if err := s.Things.RemoveModel(c.Request().Context(), name, m, covers(userOf(c))); err != nil {
		return err
	}
	s.log.Info("model removed", "by", userOf(c).User, "model", name)
	return c.NoContent(http.StatusNoContent)
}

// idOf is the id of a document that is added.
func idOf(doc []byte, what, example string) (string, error) {
	var named struct {
		ID *string `json:"id"`
	}
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(bytes.TrimPrefix(doc, []byte("\ufeff")), &named); {
	case errors.As(err, &syntax):
		return "", realtime.Wrong("doc_json", "the body is not {what}, which is a JSON object: at byte {byte}, {why}", "what", what, "byte", syntax.Offset, "why", syntax.Error()).Of(realtime.CodeMalformed)
	case err != nil: // of another type, and what Go calls that is nobody's business
		return "", realtime.Wrong("doc_object", "the body is not {what}, which is a JSON object with a string as its id", "what", what).Of(realtime.CodeMalformed)
	case named.ID == nil:
		return "", realtime.Wrong("doc_id", "{what} that is added needs an id, such as {example}", "what", what, "example", example).In("/id")
	}
	return *named.ID, nil
}
