package credential

import (
	"context"
	"fmt"
	"os"
)

// Environment gives the value of an environment variable, without a line end.
// Programs that are started inherit the variable.
func Environment(name string) Source {
	return source(func(context.Context) (string, error) {
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("%w: the environment variable %s is not set", ErrMissing, name)
		}
		secret := cut(value)
		return secret, check("the environment variable "+name, secret)
	})
}
