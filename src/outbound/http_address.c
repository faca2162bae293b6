/*
 * Which addresses may be called. One pure rule, asked twice: when a target is named, for a clear
 * message, and for every socket that is about to be made, so that a name that leads elsewhere by
 * then gains nothing.
 */
#include "orderhook/http_client.h"

#include <netinet/in.h>
#include <string.h>

struct range {
	uint32_t network;
	unsigned bits;
	enum address_class is;
};

/* The first match decides. */
static const struct range ranges[] = {
	{0x7f000000, 8, ADDRESS_LOOPBACK}, {0x0a000000, 8, ADDRESS_PRIVATE},
	{0xac100000, 12, ADDRESS_PRIVATE}, {0xc0a80000, 16, ADDRESS_PRIVATE},
	{0xa9fe0000, 16, ADDRESS_PRIVATE}, {0x64400000, 10, ADDRESS_PRIVATE},
	{0x00000000, 8, ADDRESS_NOWHERE},  {0xe0000000, 3, ADDRESS_NOWHERE},
};

static enum address_class class_of_v4(const uint8_t bytes[4])
{
	uint32_t address = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
			   (uint32_t)bytes[2] << 8 | bytes[3];

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if ((address ^ ranges[i].network) >> (32 - ranges[i].bits) == 0)
			return ranges[i].is;
	}
	return ADDRESS_PUBLIC;
}

static enum address_class class_of_v6(const uint8_t bytes[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const uint8_t zero[15] = {0};

	if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
		return class_of_v4(bytes + 12);
	/* A translator's view of 127.0.0.1 is the translator, not this host. */
	if (memcmp(bytes, nat64, sizeof(nat64)) == 0)
		return class_of_v4(bytes + 12) == ADDRESS_PUBLIC ? ADDRESS_PUBLIC : ADDRESS_NOWHERE;
	if (memcmp(bytes, zero, 15) == 0 && bytes[15] == 1)
		return ADDRESS_LOOPBACK;
	if ((bytes[0] & 0xfe) == 0xfc || (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80))
		return ADDRESS_PRIVATE;
	return bytes[0] == 0 || bytes[0] == 0xff ? ADDRESS_NOWHERE : ADDRESS_PUBLIC;
}

enum address_class address_class_of(const struct sockaddr *address)
{
	/* Copied: the caller's storage need not be aligned for its family. */
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	switch (address->sa_family) {
	case AF_UNIX:
		return ADDRESS_LOOPBACK;
	case AF_INET:
		memcpy(&v4, address, sizeof(v4));
		return class_of_v4((const uint8_t *)&v4.sin_addr);
	case AF_INET6:
		memcpy(&v6, address, sizeof(v6));
		return class_of_v6(v6.sin6_addr.s6_addr);
	default:
		return ADDRESS_NOWHERE;
	}
}

bool address_may_be_called(const struct sockaddr *address, bool allow_external, bool literal)
{
	switch (address_class_of(address)) {
	case ADDRESS_LOOPBACK:
		return true;
	case ADDRESS_PRIVATE:
		return allow_external && literal;
	case ADDRESS_PUBLIC:
		return allow_external;
	case ADDRESS_NOWHERE:
	case ADDRESS_CLASS_MAX:
		break;
	}
	return false;
}
