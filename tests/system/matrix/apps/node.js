// The matrix' application in Node (see matrix.py for what it answers).
const fs = require('fs');
const http = require('http');
const path = require('path');

const release = path.basename(process.cwd());

const server = http.createServer((request, response) => {
  const arrived = Date.now() / 1000;
  const answer = () => {
    const body = `${release} ${process.pid} ${process.ppid} ${arrived.toFixed(6)}\n`;
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  };
  if (request.url.startsWith('/slow')) {
    fs.writeFileSync(`${process.env.RUNTIME_DIRECTORY}/slow-request`, '');
    setTimeout(answer, 1000);
  } else {
    answer();
  }
});
server.listen({ fd: Number(process.argv[2]) });

process.on('SIGTERM', () => server.close());
