/* A relay in C: what a chat's fan-out can reach when it does nothing else.
 *
 * Lines of text: the first is the name, all others are said to everybody else. One thread, epoll.
 * What all sockets have brought in one turn is put together, and every client gets it in one
 * send. With the argument "each" there is a send for every delivery instead: what that costs is
 * the cost of system calls, whatever the language.
 *
 * cc -O2 -o relay relay.c && ./relay [each]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 65536, CHUNK = 65536, TURN = 1024, QUEUE = 1 << 20, NAME = 64 };

struct bytes {
    char *data;
    size_t size, room;
};

struct client {
    int fd;                /* -1: gone */
    int entered;           /* its name has come */
    int speaks;            /* has said something in this turn */
    char name[NAME];
    struct bytes line;     /* the beginning of a line whose end has not arrived yet */
    struct bytes queue;    /* what a full socket did not take */
};

struct said {              /* one line of this turn */
    struct client *author;
    size_t start, end;
};

static struct client *clients[MOST];
static int count;
static struct bytes turn;  /* all lines of this turn */
static struct said *lines;
static size_t line_count, line_room;
static struct bytes own;   /* the turn without the lines of one author */
static int poller, each;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void append(struct bytes *to, const char *data, size_t size) {
    if (to->size + size > to->room) {
        to->room = (to->size + size) * 2;
        to->data = realloc(to->data, to->room);
        if (!to->data)
            die("realloc");
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

static void watch(struct client *client, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(poller, operation, client->fd, &event) < 0)
        die("epoll_ctl");
}

static void hang_up(struct client *client) {
    close(client->fd);
    client->fd = -1;
}

static void give(struct client *client, const char *data, size_t size) {
    ssize_t sent = 0;
    if (client->fd < 0)
        return;
    if (!client->queue.size) {
        sent = send(client->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            hang_up(client);
            return;
        }
        if (sent < 0)
            sent = 0;
        if ((size_t)sent == size)
            return;
        watch(client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    append(&client->queue, data + sent, size - sent);
    if (client->queue.size > QUEUE)
        hang_up(client);
}

static void drain(struct client *client) {
    ssize_t sent = send(client->fd, client->queue.data, client->queue.size, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            hang_up(client);
        return;
    }
    client->queue.size -= sent;
    memmove(client->queue.data, client->queue.data + sent, client->queue.size);
    if (!client->queue.size)
        watch(client, EPOLL_CTL_MOD, EPOLLIN);
}

static void say(struct client *client, const char *line, size_t size) {
    if (!client->entered) {
        snprintf(client->name, NAME, "%.*s: ", (int)size - 1, line);
        client->entered = 1;
        give(client, "* welcome\n", 10);
        return;
    }
    if (line_count == line_room) {
        line_room = line_room ? line_room * 2 : 1024;
        lines = realloc(lines, line_room * sizeof *lines);
        if (!lines)
            die("realloc");
    }
    struct said *said = &lines[line_count++];
    said->author = client;
    said->start = turn.size;
    append(&turn, client->name, strlen(client->name));
    append(&turn, line, size);
    said->end = turn.size;
    client->speaks = 1;
}

static void hear(struct client *client) {
    static char chunk[CHUNK];
    ssize_t size = recv(client->fd, chunk, CHUNK, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        hang_up(client);
        return;
    }
    append(&client->line, chunk, size);
    char *start = client->line.data, *end = start + client->line.size, *feed;
    while ((feed = memchr(start, '\n', end - start))) {
        say(client, start, feed + 1 - start);
        start = feed + 1;
    }
    client->line.size = end - start;
    memmove(client->line.data, start, client->line.size);
}

static void tell_all(void) {
    for (int i = 0; i < count; i++) {
        struct client *client = clients[i];
        if (!client->entered)
            continue;
        if (each) {
            for (size_t k = 0; k < line_count; k++)
                if (lines[k].author != client)
                    give(client, turn.data + lines[k].start, lines[k].end - lines[k].start);
        } else if (!client->speaks) {
            give(client, turn.data, turn.size);
        } else {
            own.size = 0;
            for (size_t k = 0; k < line_count; k++)
                if (lines[k].author != client)
                    append(&own, turn.data + lines[k].start, lines[k].end - lines[k].start);
            if (own.size)
                give(client, own.data, own.size);
        }
        client->speaks = 0;
    }
    turn.size = 0;
    line_count = 0;
}

static void bury(void) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (clients[i]->fd >= 0) {
            clients[kept++] = clients[i];
            continue;
        }
        free(clients[i]->line.data);
        free(clients[i]->queue.data);
        free(clients[i]);
    }
    count = kept;
}

static void let_in(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    if (fd < 0)
        return;
    if (count == MOST) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        die("calloc");
    client->fd = fd;
    clients[count++] = client;
    watch(client, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    static struct epoll_event events[TURN];
    each = argc > 1 && !strcmp(argv[1], "each");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
        listen(listener, 1024) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    poller = epoll_create1(0);
    struct epoll_event incoming = {.events = EPOLLIN, .data.ptr = NULL};
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &incoming) < 0)
        die("epoll");
    printf("127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poller, events, TURN, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!client) {
                let_in(listener);
                continue;
            }
            if (client->fd >= 0 && events[i].events & EPOLLOUT)
                drain(client);
            if (client->fd >= 0 && events[i].events & ~EPOLLOUT)
                hear(client);
        }
        if (line_count)
            tell_all();
        bury();
    }
}
