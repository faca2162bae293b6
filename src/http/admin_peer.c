/*
 * The kernel knows which process connected: its user, and the groups it had at that moment. That is
 * asked of the socket and not of a user database, so that a process that has given up a group has
 * given it up, and no look-up of a user can keep the listener waiting. Only the number of the group
 * orderhook-admin is looked up, until it is found once.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin_private.h"

#define GROUPS_MAX 65536
#define ENTRY_BYTES 65536

static void find_group(struct admin_server *server)
{
	char *entry = malloc(ENTRY_BYTES);
	struct group group;
	struct group *found = NULL;

	if (entry && getgrnam_r(CONTROL_GROUP, &group, entry, ENTRY_BYTES, &found) == 0 && found)
		server->admin_group = (long)found->gr_gid;
	free(entry);
}

static bool has_group(int fd, gid_t wanted)
{
	socklen_t len = 0;
	bool found = false;
	gid_t *groups;

	/* With no room it says how much it needs. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
	    len > GROUPS_MAX * sizeof(gid_t))
		return false;
	groups = malloc(len);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
		for (size_t i = 0; i < len / sizeof(gid_t) && !found; i++)
			found = groups[i] == wanted;
	}
	free(groups);
	return found;
}

bool admin_peer(struct admin_server *server, int fd, struct control_peer *ret)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof(peer) ||
	    peer.pid == 0)
		return false;
	*ret = (struct control_peer){.uid = peer.uid, .pid = peer.pid};
	if (peer.uid == 0)
		ret->kinds |= PEER_ROOT;
	if (peer.uid == geteuid())
		ret->kinds |= PEER_DAEMON;
	if (server->admin_group < 0)
		find_group(server);
	if (server->admin_group >= 0 &&
	    (peer.gid == (gid_t)server->admin_group || has_group(fd, (gid_t)server->admin_group)))
		ret->kinds |= PEER_ADMINS;
	return true;
}
