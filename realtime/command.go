package realtime

import "context"

type commandIDKey struct{}

// OnCommandID returns a context under which Invoke tells f the id of its
// command before the first step of it is told as a fact, so that whoever asked
// can know its steps among all others from the first one on. With a repeated
// key it is the id of the command that was first.
func OnCommandID(ctx context.Context, f func(id string)) context.Context {
	return context.WithValue(ctx, commandIDKey{}, f)
}

// TellCommandID tells it. It is for Invoke.
func TellCommandID(ctx context.Context, id string) {
	if f, ok := ctx.Value(commandIDKey{}).(func(string)); ok {
		f(id)
	}
}
