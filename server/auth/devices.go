package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Device is the credential of one device, or of one gateway for several. The
// same username may have more than one password, so that they can be changed
// without an interruption.
type Device struct {
	ID       string     `json:"id"`
	Username string     `json:"username"`
	Things   []string   `json:"things"` // patterns of the things it speaks for; at least one
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires,omitempty"`
}

const devicePrefix = "ed_"

// NewDevice issues a credential and answers its password, which is kept
// nowhere. The patterns in d.Things have been checked by the caller.
func (a *Auth) NewDevice(ctx context.Context, d Device) (Device, string, error) {
	if err := checkUsername(d.Username); err != nil {
		return d, "", err
	}
	if len(d.Things) == 0 || len(d.Things) > maxPatterns {
		return d, "", wrong("device_things", "1 to {max} patterns of the things that the device speaks for", "max", maxPatterns).in("/things")
	}
	now := time.Now()
	if expired(d.Expires, now) {
		return d, "", wrong("past", "that is in the past").in("/expires")
	}
	password := devicePrefix + random()
	key := digest(password)
	d.ID, d.Created = publicID(key), second(now)
	return d, password, a.devices.create(ctx, key, d)
}

// Device checks a device's username and password. Who shows it from where, or
// why not, is kept for the list of devices.
func (a *Auth) Device(ctx context.Context, username, password, address string) (*Identity, error) {
	i, err := a.shown(ctx, password, address)
	switch {
	case err == nil && i.User != username:
		a.Refused(i, address, "it came with another name than its own")
		return nil, ErrNone
	case err == nil:
		a.Used(i, address)
	case errors.Is(err, ErrNone) && !errors.Is(err, errExpired):
		a.seen.stranger(username, address)
	}
	return i, err
}

// DeviceToken checks a device's password alone, for Authorization: Bearer.
func (a *Auth) DeviceToken(ctx context.Context, password, address string) (*Identity, error) {
	i, err := a.shown(ctx, password, address)
	if err == nil {
		a.Used(i, address)
	}
	return i, err
}

// shown is whose password it is.
func (a *Auth) shown(ctx context.Context, password, address string) (*Identity, error) {
	if !strings.HasPrefix(password, devicePrefix) {
		return nil, ErrNone
	}
	key := digest(password)
	i, err := a.device(ctx, key)
	if errors.Is(err, errExpired) {
		a.seen.refused(seenKey{ByDevice, publicID(key)}, address, "the credential has expired")
	}
	return i, err
}

// errExpired is ErrNone of a credential that still is in the store.
var errExpired = fmt.Errorf("%w", ErrNone)

func (a *Auth) device(ctx context.Context, key string) (*Identity, error) {
	d, err := a.devices.get(ctx, key)
	if err != nil {
		return nil, none(err)
	}
	if expired(d.Expires, time.Now()) {
		return nil, errExpired
	}
	i := &Identity{Kind: ByDevice, User: d.Username, own: limit(nil, d.Things), source: ByDevice, ref: key}
	if d.Expires != nil {
		i.Expires = *d.Expires
	}
	return i, nil
}

// Devices lists the credentials by username.
func (a *Auth) Devices(ctx context.Context) ([]Device, error) {
	m, err := a.devices.all(ctx)
	if err != nil {
		return nil, err
	}
	var ds []Device
	for _, d := range m {
		ds = append(ds, d)
	}
	slices.SortFunc(ds, func(a, b Device) int {
		if c := strings.Compare(a.Username, b.Username); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return ds, nil
}

// DeleteDevice revokes a credential by its ID.
func (a *Auth) DeleteDevice(ctx context.Context, id string) error {
	m, err := a.devices.all(ctx)
	if err != nil {
		return err
	}
	for key, d := range m {
		if d.ID == id {
			return a.devices.delete(ctx, key)
		}
	}
	return ErrNotFound
}
