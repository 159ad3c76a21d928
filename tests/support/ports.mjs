// Free TCP ports, below the range the kernel hands out for outgoing connections, so that nobody takes one by chance
// between the look and the use.
import net from 'node:net';

const FIRST = 20000, COUNT = 12000;
let next = FIRST + (process.pid * 37) % COUNT;

const canListen = (port, host) => new Promise((resolve) => {
  const server = net.createServer();
  server.once('error', () => resolve(false));
  server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
});

/** A port nobody listens on at host; each call gives another one. */
export async function freePort(host = '127.0.0.1') {
  for (let tries = 0; tries < COUNT; tries++) {
    const port = next;
    next = next + 1 < FIRST + COUNT ? next + 1 : FIRST;
    if (await canListen(port, host)) return port;
  }
  throw new Error(`no free port on ${host}`);
}
