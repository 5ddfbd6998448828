// The least that a UDP server can do: datagrams go back as they came, 32 at a
// time (recvmmsg, sendmmsg). What it costs is what the kernel costs.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 32, SIZE = 4096 };

int main(int argc, char **argv) {
	if (argc != 2) {
		fprintf(stderr, "usage: echo PORT\n");
		return 2;
	}
	static char bufs[BATCH][SIZE];
	static struct sockaddr_in names[BATCH];
	static struct iovec iovs[BATCH];
	static struct mmsghdr msgs[BATCH];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0) {
		perror("bind");
		return 1;
	}
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			iovs[i] = (struct iovec){bufs[i], SIZE};
			msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iovs[i], .msg_iovlen = 1, .msg_name = &names[i], .msg_namelen = sizeof names[i]};
		}
		int n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			iovs[i].iov_len = msgs[i].msg_len;
		for (int sent = 0; n > 0 && sent < n;) {
			int k = sendmmsg(fd, msgs + sent, n - sent, 0);
			sent += k > 0 ? k : 1;
		}
	}
}
