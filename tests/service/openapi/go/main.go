// Shouts with the client that oapi-codegen generates, in both formats, and reads a problem.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"

	"shoutback/client/api"
)

func main() {
	ctx := context.Background()
	client := with(os.Getenv("TOKEN"))
	shout, err := client.ShoutWithResponse(ctx, nil, api.Message{Data: "hello, world!"})
	check(err)
	text, err := client.ShoutWithTextBodyWithResponse(ctx, nil, "hello, world!")
	check(err)
	rejected, err := with("none").ShoutWithResponse(ctx, nil, api.Message{Data: "hello, world!"})
	check(err)
	if shout.JSON200 == nil || text.StatusCode() != http.StatusOK || rejected.ApplicationproblemJSON401 == nil {
		log.Fatal("an unexpected status")
	}
	printed, err := json.Marshal(map[string]any{
		"json":    shout.JSON200,
		"text":    string(text.Body),
		"problem": rejected.ApplicationproblemJSON401.Type,
	})
	check(err)
	fmt.Println(string(printed))
}

// with returns a client that sends the token.
func with(token string) *api.ClientWithResponses {
	editor := func(_ context.Context, request *http.Request) error {
		request.Header.Set("authorization", "Bearer "+token)
		return nil
	}
	client, err := api.NewClientWithResponses(os.Getenv("SHOUTBACK"), api.WithRequestEditorFn(editor))
	check(err)
	return client
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
