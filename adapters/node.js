// Loaded before a program (node -r /usr/lib/herder/node.js server.js), this makes it one of several on the
// sockets of socket activation (sd_listen_fds(3)), without a change to it:
//
// - The first server that listens on a port or a path gets the first socket instead, the second the second,
//   and so on; when all are taken, servers listen as they would. A program that listens on { fd: 3 } itself
//   has taken that one.
// - On SIGTERM the servers stop accepting, connections that are open have a second for one more request,
//   whose answer says that it is the last (Connection: close), and the process ends when all is answered.
//   If the program handles SIGTERM itself, that is left to it.
// - Only the main thread's servers: threads (worker_threads) load this too, and would take the same sockets once more.
"use strict";

const http = require("http");
const net = require("net");
const { isMainThread } = require("worker_threads");

const FIRST = 3;
// Milliseconds that a client which is connected and waits for nothing may take for its last request.
const LAST_REQUEST = 1000;

const count = Number(process.env.LISTEN_FDS || 0);
const pid = process.env.LISTEN_PID;

// Else these are another process' sockets: this is a child of the program, or a wrapper has started it.
if (isMainThread && count > 0 && (pid === undefined || Number(pid) === process.pid)) {
  const free = Array.from({ length: count }, (_, number) => FIRST + number);
  const servers = new Set();
  const connections = new Set();
  const { listen, close } = net.Server.prototype;
  const { writeHead } = http.ServerResponse.prototype;

  net.Server.prototype.listen = function (...given) {
    const options = typeof given[0] === "object" && given[0] !== null ? given[0] : {};
    const wanted = "fd" in options ? options.fd : free[0];
    if (!free.includes(wanted)) return listen.apply(this, given);
    free.splice(free.indexOf(wanted), 1);
    servers.add(this);
    this.on("connection", (connection) => {
      connections.add(connection);
      connection.on("close", () => connections.delete(connection));
    });
    const done = given.find((argument) => typeof argument === "function");
    // listen(2) is called again: with the number of connections that may wait already.
    const backlog = Number(process.env.NODE_LISTEN_BACKLOG) || undefined;
    return listen.call(this, { fd: wanted, signal: options.signal }, backlog, done);
  };

  process.on("SIGTERM", () => {
    if (process.listenerCount("SIGTERM") > 1) return;
    http.ServerResponse.prototype.writeHead = function (...given) {
      this.shouldKeepAlive = false;
      return writeHead.apply(this, given);
    };
    let open = servers.size;
    const closed = () => {
      open -= 1;
      if (open <= 0) process.exit();
    };
    if (open === 0) process.exit();
    // close() of an HTTP server would end connections that are kept alive at once.
    for (const server of servers) close.call(server, closed);
    setTimeout(() => {
      for (const server of servers) server.closeIdleConnections?.();
      for (const connection of connections) if (connection.bytesRead === 0) connection.destroy();
    }, LAST_REQUEST);
  });
}
