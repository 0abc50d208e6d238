// The matrix' application in Go (see matrix.py for what it answers).
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	directory, err := os.Readlink("/proc/self/cwd")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	line := func(answer http.ResponseWriter, arrived time.Time) {
		seconds := float64(arrived.UnixNano()) / 1e9
		fmt.Fprintf(answer, "%s %d %d %.6f\n", filepath.Base(directory), os.Getpid(), os.Getppid(), seconds)
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) { line(answer, time.Now()) })
	http.HandleFunc("/slow", func(answer http.ResponseWriter, request *http.Request) {
		arrived := time.Now()
		if err := os.WriteFile(os.Getenv("RUNTIME_DIRECTORY")+"/slow-request", nil, 0o644); err != nil {
			log.Fatal(err)
		}
		time.Sleep(time.Second)
		line(answer, arrived)
	})

	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := http.Server{}
	go func() {
		if err := server.Serve(listener); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-told.Done()
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
