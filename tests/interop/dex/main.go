// SPDX-License-Identifier: Apache-2.0
//
// dex on loopback, in memory: dex PORT
// Its static users are ada, bob and vera, all with the password of $PASSWORD; its public clients
// assistant and other-app.
package main

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"golang.org/x/crypto/bcrypt"
)

const callback = "http://127.0.0.1:8976/callback"

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func users() []storage.Password {
	hash := must(bcrypt.GenerateFromPassword([]byte(os.Getenv("PASSWORD")), bcrypt.DefaultCost))
	var out []storage.Password
	for _, name := range []string{"ada", "bob", "vera"} {
		out = append(out, storage.Password{
			Email: name + "@example.com", Hash: hash, Username: name, UserID: "id-" + name,
		})
	}
	return out
}

func client(id string) storage.Client {
	return storage.Client{ID: id, Name: id, Public: true, RedirectURIs: []string{callback}}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: dex PORT")
	}
	address := "127.0.0.1:" + os.Args[1]
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	store := memory.New(logger)
	store = storage.WithStaticPasswords(store, users(), logger)
	store = storage.WithStaticClients(store, []storage.Client{client("assistant"), client("other-app")})
	store = storage.WithStaticConnectors(store, []storage.Connector{
		{ID: server.LocalConnector, Type: server.LocalConnector, Name: "Password"},
	})
	dex := must(server.NewServer(context.Background(), server.Config{
		Issuer:             "http://" + address + "/dex",
		Storage:            store,
		SkipApprovalScreen: true,
		Logger:             logger,
	}))
	log.Fatal(http.ListenAndServe(address, dex))
}
