// server PORT default|shutdown|lameduck [h2c]
package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	var lame atomic.Bool
	mux := http.NewServeMux()
	answer := func(wait time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(wait)
			if lame.Load() {
				w.Header().Set("Connection", "close")
			}
			w.Write([]byte("ok"))
		}
	}
	mux.HandleFunc("/fast", answer(0))
	mux.HandleFunc("/slow", answer(time.Second))
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: mux}
	if len(os.Args) > 3 {
		server.Protocols = new(http.Protocols)
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	if os.Args[2] == "default" {
		server.ListenAndServe()
		return
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM)
	go server.ListenAndServe()
	<-stop
	if os.Args[2] == "lameduck" {
		lame.Store(true)
		select {
		case <-time.After(3 * time.Second):
		case <-stop:
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	server.Shutdown(ctx)
}
