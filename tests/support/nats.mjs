// A nats-server for the tests, without files, and a client of its text protocol, which knows nothing of headgate.
import net from 'node:net';
import path from 'node:path';
import { freePort } from './ports.mjs';
import { start, stop, tempDir } from './proc.mjs';
import { waitFor } from './wait.mjs';

/** { url, port, stop(), kill(), start(), client() } */
export async function startNats() {
  const dir = tempDir('nats');
  const port = await freePort();
  let child;
  const nats = {
    port,
    url: `nats://127.0.0.1:${port}`,
    async start() {
      child = start(['nats-server', '-a', '127.0.0.1', '-p', String(port)], { file: path.join(dir, 'out.log') });
      await waitFor(async () => {
        const c = await nats.client().catch(() => undefined);
        c?.end();
        return c !== undefined;
      }, { what: `nats-server on ${port}` });
    },
    stop: () => stop(child, 'SIGTERM'),
    kill: () => stop(child, 'SIGKILL'),
    client: () => NatsClient.open(port),
  };
  await nats.start();
  return nats;
}

/** One subscription at most; messages are the texts heard so far. */
class NatsClient {
  static open(port) {
    return new Promise((resolve, reject) => {
      const c = new NatsClient();
      c.messages = [];
      c.pongs = [];
      c.rest = Buffer.alloc(0);
      c.socket = net.connect({ port, host: '127.0.0.1' });
      c.socket.on('error', reject);
      c.socket.on('close', () => {
        for (const p of c.pongs.splice(0)) p.reject(new Error('NATS closed the connection'));
        reject(new Error('NATS closed the connection'));
      });
      c.socket.on('data', (data) => c.take(data));
      c.socket.write('CONNECT {"verbose":false,"pedantic":false,"name":"test"}\r\n');
      c.flush().then(() => resolve(c), reject);
    });
  }

  /** Resolves when the server has done all that was asked before. */
  flush() {
    return new Promise((resolve, reject) => {
      this.pongs.push({ resolve, reject });
      this.socket.write('PING\r\n');
    });
  }

  subscribe(subject) {
    this.socket.write(`SUB ${subject} 1\r\n`);
    return this.flush();
  }

  publish(subject, text) {
    this.socket.write(`PUB ${subject} ${Buffer.byteLength(text)}\r\n${text}\r\n`);
    return this.flush();
  }

  end() {
    this.socket.destroy();
  }

  take(data) {
    this.rest = Buffer.concat([this.rest, data]);
    for (let at; (at = this.rest.indexOf('\r\n')) >= 0;) {
      const [verb, ...words] = this.rest.toString('utf8', 0, at).split(' ');
      let used = at + 2;
      if (verb === 'MSG') {
        const n = Number(words.at(-1));
        if (this.rest.length < used + n + 2) return;
        this.messages.push(this.rest.toString('utf8', used, used + n));
        used += n + 2;
      } else if (verb === 'PING') {
        this.socket.write('PONG\r\n');
      } else if (verb === 'PONG') {
        this.pongs.shift()?.resolve();
      }
      this.rest = this.rest.subarray(used);
    }
  }
}
