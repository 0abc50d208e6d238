// A web server of Node's own library. Nothing in it knows of herder: it listens on a port, as any other. An application of
// Express, Koa or Fastify does the same.
const http = require('http');
const path = require('path');

const release = path.basename(process.cwd());

const server = http.createServer((request, response) => {
  response.end(`Node, worker ${process.env.HERDER_WORKER}, release ${release}\n`);
});
server.listen(process.env.PORT || 3000, '127.0.0.1');
