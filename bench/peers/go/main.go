// SPDX-License-Identifier: Apache-2.0

// main PORT ISSUER AUDIENCE: whoami behind a bearer token, with the official Go SDK's middleware and
// transport, golang-jwt and keyfunc, each as its documentation shows. Stateless, answers as JSON.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type caller struct {
	Issuer  string   `json:"issuer"`
	Subject string   `json:"subject"`
	Scopes  []string `json:"scopes"`
}

type claims struct {
	jwt.RegisteredClaims
	Scope string `json:"scope"`
}

func whoami(_ context.Context, request *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, caller, error) {
	info := request.Extra.TokenInfo
	return nil, caller{info.Extra["issuer"].(string), info.UserID, info.Scopes}, nil
}

func main() {
	port, issuer, audience := os.Args[1], os.Args[2], os.Args[3]
	keys, err := keyfunc.NewDefault([]string{issuer + "/jwks.json"})
	if err != nil {
		log.Fatal(err)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithExpirationRequired())
	verify := func(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		var found claims
		if _, err := parser.ParseWithClaims(token, &found, keys.Keyfunc); err != nil {
			return nil, fmt.Errorf("%w: %v", auth.ErrInvalidToken, err)
		}
		return &auth.TokenInfo{Scopes: strings.Fields(found.Scope), Expiration: found.ExpiresAt.Time,
			UserID: found.Subject, Extra: map[string]any{"issuer": found.Issuer}}, nil
	}

	server := mcp.NewServer(&mcp.Implementation{Name: "peer", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami", Description: "Who you are"}, whoami)
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	guard := auth.RequireBearerToken(verify, &auth.RequireBearerTokenOptions{Scopes: []string{"read"}})
	http.Handle("/mcp", guard(handler))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
