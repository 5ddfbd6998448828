// Asks a DNS server on loopback questions as fast as it answers, and prints what
// each answer costs the server's processes.
//
//	gen PORT SECONDS TYPE NAME COUNT PID...
//
// TYPE is a number. NAME may hold one %d, for which a random number below COUNT is
// put. So many queries are under way at once that the server is never without one,
// and its queue never overflows. Rcodes and answer counts of the replies are
// printed, so that nobody measures errors.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
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

int main(int argc, char **argv) {
	if (argc < 7) {
		fprintf(stderr, "usage: gen PORT SECONDS TYPE NAME COUNT PID...\n");
		return 2;
	}
	double seconds = atof(argv[2]);
	int type = atoi(argv[3]), count = atoi(argv[5]);
	static unsigned char out[BATCH][SIZE], in[BATCH][SIZE];
	static struct iovec iov[BATCH], riov[BATCH];
	static struct mmsghdr msgs[BATCH], rmsgs[BATCH];
	struct pollfd fds[SOCKETS];
	int flight[SOCKETS] = {0};
	double last[SOCKETS];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	for (int s = 0; s < SOCKETS; s++) {
		int room = 4 << 20;
		fds[s].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), fds[s].events = POLLIN;
		setsockopt(fds[s].fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
		if (connect(fds[s].fd, (struct sockaddr *)&a, sizeof a) != 0) {
			perror("connect");
			return 1;
		}
		last[s] = now();
	}
	for (int i = 0; i < BATCH; i++) {
		riov[i] = (struct iovec){in[i], SIZE};
		iov[i].iov_base = out[i];
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
		rmsgs[i].msg_hdr = (struct msghdr){.msg_iov = &riov[i], .msg_iovlen = 1};
	}
	long answers = 0, lost = 0, rcodes[16] = {0}, records = 0, bytes = 0;
	double begin = now(), end = begin + seconds;
	struct cpu before = cpu(argc - 6, argv + 6);
	for (double t; (t = now()) < end;) {
		for (int s = 0; s < SOCKETS; s++) {
			if (flight[s] > 0 && t - last[s] > 0.2) { // some were lost on the way
				lost += flight[s];
				flight[s] = 0;
			}
			for (; flight[s] + BATCH <= WINDOW; flight[s] += BATCH) {
				for (int i = 0; i < BATCH; i++) {
					char name[300];
					if (count > 0)
						snprintf(name, sizeof name, argv[4], (int)(rnd() % count));
					if (count > 0 || iov[i].iov_len == 0)
						iov[i].iov_len = question(out[i], type, count > 0 ? name : argv[4]);
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
				for (int i = 0; i < n; i++) {
					answers++;
					rcodes[in[i][3] & 15]++;
					records += in[i][7] + 256 * in[i][6];
					bytes += rmsgs[i].msg_len;
				}
				if (n > 0)
					flight[s] = flight[s] > n ? flight[s] - n : 0;
			}
		}
	}
	double took = now() - begin;
	struct cpu after = cpu(argc - 6, argv + 6);
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
