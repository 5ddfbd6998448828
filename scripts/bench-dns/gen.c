// Asks a DNS server on loopback questions, and prints what each answer costs the
// server's processes.
//
//	gen [-a ADDRESS] [-r RATE | -t] PORT SECONDS TYPE NAME COUNT PID...
//
// TYPE is a number. NAME may hold one %d, for which a random number below COUNT is
// put. So many queries are under way at once that the server is never without one,
// and its queue never overflows; with -r there are RATE a second, evenly, and how
// long the answers take is printed too; with -t they go over TCP, pipelined. Rcodes
// and answer counts of the replies are printed, so that nobody measures errors.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, SOCKETS = 8, WINDOW = 256, SIZE = 4096 };

static uint64_t seed = 88172645463325252ull;
static uint64_t rnd(void) {
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

// cpu adds up what processes have run, in seconds: in all, and by the clock's ticks
// in user and system mode.
struct cpu { double all, user, sys; };

static struct cpu cpu(int n, char **pids) {
	struct cpu c = {0};
	for (int i = 0; i < n; i++) {
		char path[300], line[1024];
		snprintf(path, sizeof path, "/proc/%s/task", pids[i]);
		DIR *d = opendir(path);
		for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "/proc/%s/task/%.32s/schedstat", pids[i], e->d_name);
			FILE *f = fopen(path, "r");
			unsigned long long ns = 0;
			if (f != NULL) {
				if (fscanf(f, "%llu", &ns) == 1)
					c.all += ns / 1e9;
				fclose(f);
			}
		}
		if (d != NULL)
			closedir(d);
		snprintf(path, sizeof path, "/proc/%s/stat", pids[i]);
		FILE *f = fopen(path, "r");
		if (f == NULL)
			continue;
		if (fgets(line, sizeof line, f) != NULL) {
			unsigned long u = 0, s = 0;
			char *p = strrchr(line, ')');
			if (p != NULL && sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u, &s) == 2)
				c.user += u / (double)sysconf(_SC_CLK_TCK), c.sys += s / (double)sysconf(_SC_CLK_TCK);
		}
		fclose(f);
	}
	return c;
}

static int question(unsigned char *b, int type, const char *name) {
	memset(b, 0, 12);
	b[2] = 1; // RD, as stub resolvers set it
	b[5] = 1;
	int at = 12;
	for (const char *p = name; *p != 0;) {
		const char *dot = strchr(p, '.');
		int n = dot != NULL ? dot - p : (int)strlen(p);
		b[at++] = n;
		memcpy(b + at, p, n);
		at += n;
		p += n + (dot != NULL);
	}
	b[at++] = 0;
	b[at++] = type >> 8, b[at++] = type, b[at++] = 0, b[at++] = 1;
	return at;
}


// What is asked, and what came back.
static const char *asked;
static int type, count;
static double begin, end;
static struct sockaddr_in server = {.sin_family = AF_INET};
static long answers, lost, rcodes[16], records, bytes;

// next writes the next question.
static int next(unsigned char *b, uint16_t id) {
	char name[300];
	if (count > 0)
		snprintf(name, sizeof name, asked, (int)(rnd() % count));
	int n = question(b, type, count > 0 ? name : asked);
	b[0] = id >> 8, b[1] = id;
	return n;
}

static void answered(const unsigned char *b, long n) {
	answers++;
	rcodes[b[3] & 15]++;
	records += b[7] + 256 * b[6];
	bytes += n;
}

static int dial(int kind) {
	int room = 4 << 20, one = 1, fd = socket(AF_INET, kind | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (kind == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS) {
		perror("connect");
		exit(1);
	}
	return fd;
}

static unsigned char out[BATCH][SIZE], in[BATCH][SIZE];
static struct mmsghdr msgs[BATCH], rmsgs[BATCH];

static void vectors(void) {
	static struct iovec iov[BATCH], riov[BATCH];
	for (int i = 0; i < BATCH; i++) {
		riov[i] = (struct iovec){in[i], SIZE};
		iov[i].iov_base = out[i];
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
		rmsgs[i].msg_hdr = (struct msghdr){.msg_iov = &riov[i], .msg_iovlen = 1};
	}
}

// saturate keeps the server busy.
static void saturate(void) {
	struct pollfd fds[SOCKETS];
	int flight[SOCKETS] = {0};
	double last[SOCKETS];
	for (int s = 0; s < SOCKETS; s++)
		fds[s] = (struct pollfd){.fd = dial(SOCK_DGRAM), .events = POLLIN}, last[s] = begin;
	for (double t; (t = now()) < end;) {
		for (int s = 0; s < SOCKETS; s++) {
			if (flight[s] > 0 && t - last[s] > 0.2) { // some were lost on the way
				lost += flight[s];
				flight[s] = 0;
			}
			for (; flight[s] + BATCH <= WINDOW; flight[s] += BATCH) {
				for (int i = 0; i < BATCH; i++) {
					struct iovec *v = msgs[i].msg_hdr.msg_iov;
					if (count > 0 || v->iov_len == 0)
						v->iov_len = next(out[i], 0);
					out[i][0] = rnd(), out[i][1] = rnd();
				}
				if (sendmmsg(fds[s].fd, msgs, BATCH, 0) <= 0)
					break;
				last[s] = t;
			}
		}
		if (poll(fds, SOCKETS, 1) < 0 && errno != EINTR)
			break;
		for (int s = 0; s < SOCKETS; s++) {
			if ((fds[s].revents & POLLIN) == 0)
				continue;
			for (int n = BATCH; n == BATCH;) {
				n = recvmmsg(fds[s].fd, rmsgs, BATCH, MSG_DONTWAIT, NULL);
				for (int i = 0; i < n; i++)
					answered(in[i], rmsgs[i].msg_len);
				if (n > 0)
					flight[s] = flight[s] > n ? flight[s] - n : 0;
			}
		}
	}
}

static int ascending(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

// pace asks at a rate whatever comes back, and prints the times of the answers.
static void pace(double rate) {
	struct pollfd fds[SOCKETS];
	for (int s = 0; s < SOCKETS; s++)
		fds[s] = (struct pollfd){.fd = dial(SOCK_DGRAM), .events = POLLIN};
	static double sent[65536];
	long room = (end - begin) * rate + 1, asks = 0;
	double *took = calloc(room, sizeof *took);
	for (double t; (t = now()) < end + 0.2;) { // and who is late has a moment
		while (t < end && asks < room && begin + asks / rate <= t) {
			uint16_t id = asks;
			int n = next(out[0], id);
			sent[id] = now();
			send(fds[asks % SOCKETS].fd, out[0], n, 0);
			asks++;
		}
		double wait = t < end ? begin + asks / rate - now() : 0.01;
		struct timespec ts = {.tv_nsec = wait > 0 ? wait * 1e9 : 0};
		if (ppoll(fds, SOCKETS, &ts, NULL) <= 0)
			continue;
		for (int s = 0; s < SOCKETS; s++) {
			if ((fds[s].revents & POLLIN) == 0)
				continue;
			int n = recvmmsg(fds[s].fd, rmsgs, BATCH, MSG_DONTWAIT, NULL);
			double at = now();
			for (int i = 0; i < n; i++) {
				if (answers < room)
					took[answers] = at - sent[in[i][0] << 8 | in[i][1]];
				answered(in[i], rmsgs[i].msg_len);
			}
		}
	}
	lost = asks - answers;
	qsort(took, answers, sizeof *took, ascending);
	if (answers > 0)
		printf("p50 %.0f p90 %.0f p99 %.0f max %.0f us | ", took[answers / 2] * 1e6, took[answers * 9 / 10] * 1e6, took[answers * 99 / 100] * 1e6,
		       took[answers - 1] * 1e6);
}

// pipeline keeps connections full of questions.
static void pipeline(void) {
	enum { DEEP = 32, ROOM = 1 << 16 };
	struct pollfd fds[SOCKETS];
	static unsigned char stream[SOCKETS][ROOM], text[DEEP * 400];
	int flight[SOCKETS] = {0}, have[SOCKETS] = {0};
	for (int s = 0; s < SOCKETS; s++)
		fds[s] = (struct pollfd){.fd = dial(SOCK_STREAM), .events = POLLIN | POLLOUT};
	while (now() < end) {
		if (poll(fds, SOCKETS, 1) < 0 && errno != EINTR)
			break;
		for (int s = 0; s < SOCKETS; s++) {
			if (fds[s].revents & (POLLERR | POLLHUP)) {
				fprintf(stderr, "a connection was closed\n");
				exit(1);
			}
			if (fds[s].revents & POLLOUT)
				fds[s].events = POLLIN;
			if ((fds[s].events & POLLOUT) == 0 && flight[s] <= DEEP / 2) { // it is connected
				int n = 0, more = DEEP - flight[s];
				for (int i = 0; i < more; i++) {
					int k = next(text + n + 2, rnd());
					text[n] = k >> 8, text[n + 1] = k;
					n += k + 2;
				}
				if (send(fds[s].fd, text, n, MSG_NOSIGNAL) != n) {
					fprintf(stderr, "a question was cut\n");
					exit(1);
				}
				flight[s] += more;
			}
			if ((fds[s].revents & POLLIN) == 0)
				continue;
			int n = recv(fds[s].fd, stream[s] + have[s], ROOM - have[s], 0);
			if (n <= 0)
				continue;
			have[s] += n;
			int at = 0;
			for (int k; at + 2 <= have[s] && at + 2 + (k = stream[s][at] << 8 | stream[s][at + 1]) <= have[s]; at += k + 2) {
				answered(stream[s] + at + 2, k);
				flight[s]--;
			}
			memmove(stream[s], stream[s] + at, have[s] -= at);
		}
	}
}

int main(int argc, char **argv) {
	double rate = 0;
	int tcp = 0;
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int o; (o = getopt(argc, argv, "+a:r:t")) != -1;) {
		if (o == 'a')
			server.sin_addr.s_addr = inet_addr(optarg);
		else if (o == 'r')
			rate = atof(optarg);
		else if (o == 't')
			tcp = 1;
		else
			return 2;
	}
	argc -= optind, argv += optind;
	if (argc < 6) {
		fprintf(stderr, "usage: gen [-a ADDRESS] [-r RATE | -t] PORT SECONDS TYPE NAME COUNT PID...\n");
		return 2;
	}
	server.sin_port = htons(atoi(argv[0]));
	type = atoi(argv[2]), asked = argv[3], count = atoi(argv[4]);
	vectors();
	begin = now(), end = begin + atof(argv[1]);
	struct cpu before = cpu(argc - 5, argv + 5);
	if (rate > 0)
		pace(rate);
	else if (tcp)
		pipeline();
	else
		saturate();
	double took = now() - begin;
	struct cpu after = cpu(argc - 5, argv + 5);
	double all = after.all - before.all, user = after.user - before.user, sys = after.sys - before.sys;
	double share = user + sys > 0 ? user / (user + sys) : 0;
	if (answers == 0) {
		printf("no answers\n");
		return 1;
	}
	double us = all * 1e6 / answers;
	printf("%.2f %.2f %.2f us CPU (all user sys) | %.0f/s, server at %.0f%% | %.1f records, %.0f bytes, rcodes 0:%ld 3:%ld other:%ld, lost %ld\n", us,
	       us * share, us * (1 - share), answers / took, 100 * all / took, records / (double)answers, bytes / (double)answers, rcodes[0], rcodes[3],
	       answers - rcodes[0] - rcodes[3], lost);
}
