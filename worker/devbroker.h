/*
 * The throw-away Kafka-protocol broker of --dev: librdkafka's mock cluster in a process of its own.
 * For trying out only: it keeps a few MiB per partition in memory and forgets everything at its
 * end.
 */
#ifndef HG_WORKER_DEVBROKER_H
#define HG_WORKER_DEVBROKER_H

/* Starts it on a free loopback port, writes "host:port\n" to ready_fd, closes that, serves until
 * SIGTERM. Returns the exit code. */
int hg_devbroker_main(int ready_fd);

#endif
