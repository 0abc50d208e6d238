// A web server of the standard library as a worker of herder: it serves on the socket that it is given, says when it is
// ready, and finishes what it is doing when it is told to stop.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

func main() {
	listener, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	// The link that `directory` names may lead elsewhere by now: this is where the worker was started.
	release, err := os.Readlink("/proc/self/cwd")
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(answer, "Go, worker %s, release %s\n", os.Getenv("HERDER_WORKER"), filepath.Base(release))
	})}

	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	if err := notify("READY=1"); err != nil {
		log.Fatal(err)
	}
	select {
	case err := <-ended:
		log.Fatal(err)
	case <-told.Done():
	}
	// Accepts no more, closes idle connections, and returns when every request is answered. How long that may take is
	// herder's stop-timeout.
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// The first socket of sd_listen_fds(3), or without any a port to try the program on.
func listen() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return net.Listen("tcp", "127.0.0.1:8000")
	}
	if number, err := strconv.Atoi(os.Getenv("LISTEN_FDS")); err != nil || number < 1 {
		return nil, errors.New("there is no socket in LISTEN_FDS")
	}
	file := os.NewFile(3, "LISTEN_FDS")
	defer file.Close()
	return net.FileListener(file)
}

// As sd_notify(3).
func notify(state string) error {
	address := net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"}
	if address.Name == "" {
		return nil
	}
	connection, err := net.DialUnix("unixgram", nil, &address)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte(state))
	return err
}
