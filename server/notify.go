package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/notify"
	"echotwin/server/auth"
)

// notifyRoutes is who outside is told of alarms.
func (s *Server) notifyRoutes() {
	const one = "/api/notify/channels/:id"
	s.get("/api/notify/channels", auth.ManageNotify, s.told(s.listChannels), s.limitAnswer)
	s.post("/api/notify/channels", auth.ManageNotify, s.told(s.addChannel))
	s.get(one, auth.ManageNotify, s.told(s.readChannel), s.limitAnswer)
	s.put(one, auth.ManageNotify, s.told(s.putChannel))
	s.delete(one, auth.ManageNotify, s.told(s.deleteChannel))
	s.post(one+"/test", auth.ManageNotify, s.told(s.testChannel))
	s.get(one+"/deliveries", auth.ManageNotify, s.told(s.listDeliveries), s.limitAnswer)
}

// told hands what the channels are in to h, or says why there are none.
func (s *Server) told(h func(c echo.Context, n *notify.Notify) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.Notify == nil {
			return problem(realtime.CodeUnavailable, "this server tells nobody of alarms")
		}
		return h(c, s.Notify)
	}
}

// listChannels answers GET /api/notify/channels.
func (s *Server) listChannels(c echo.Context, n *notify.Notify) error {
	list, err := n.List(c.Request().Context())
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, list)
}

// addChannel answers POST /api/notify/channels. The answer has the secret.
func (s *Server) addChannel(c echo.Context, n *notify.Notify) error {
	var d notify.Draft
	if err := decode(c, smallBody, &d); err != nil {
		return err
	}
	one, err := n.Add(c.Request().Context(), userOf(c).User, d)
	if err != nil {
		return err
	}
	s.log.Info("channel of notifications added", "by", userOf(c).User, "channel", one.ID, "kind", one.Kind)
	c.Response().Header().Set(echo.HeaderLocation, "/api/notify/channels/"+one.ID)
	return noStore(c).JSON(http.StatusCreated, one)
}

// readChannel answers GET /api/notify/channels/{id}.
func (s *Server) readChannel(c echo.Context, n *notify.Notify) error {
	one, err := n.Get(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, one)
}

// putChannel answers PUT /api/notify/channels/{id}.
func (s *Server) putChannel(c echo.Context, n *notify.Notify) error {
	var d notify.Draft
	if err := decode(c, smallBody, &d); err != nil {
		return err
	}
	one, err := n.Put(c.Request().Context(), userOf(c).User, c.Param("id"), d)
	if err != nil {
		return err
	}
	s.log.Info("channel of notifications changed", "by", userOf(c).User, "channel", one.ID, "enabled", one.Enabled, "newSecret", one.Secret != "")
	return noStore(c).JSON(http.StatusOK, one)
}

// deleteChannel answers DELETE /api/notify/channels/{id}.
func (s *Server) deleteChannel(c echo.Context, n *notify.Notify) error {
	if err := n.Remove(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	s.log.Info("channel of notifications removed", "by", userOf(c).User, "channel", clip(c.Param("id")))
	return c.NoContent(http.StatusNoContent)
}

// testChannel answers POST /api/notify/channels/{id}/test. That the receiver did
// not take it is an answer, too.
func (s *Server) testChannel(c echo.Context, n *notify.Notify) error {
	d, err := n.Test(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	s.log.Info("channel of notifications tried", "by", userOf(c).User, "channel", c.Param("id"), "status", d.Status)
	return noStore(c).JSON(http.StatusOK, d)
}

// listDeliveries answers GET /api/notify/channels/{id}/deliveries.
func (s *Server) listDeliveries(c echo.Context, n *notify.Notify) error {
	list, err := n.Deliveries(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, list)
}
