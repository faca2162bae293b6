/* Which characters a terminal obeys instead of showing them. */
#include "orderhook/text.h"

size_t text_decode(struct slice text, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = text.len ? (unsigned char)text.at[0] : 0;
	size_t len = first < 0x80             ? 1
		     : (first & 0xe0) == 0xc0 ? 2
		     : (first & 0xf0) == 0xe0 ? 3
		     : (first & 0xf8) == 0xf0 ? 4
					      : 0;
	uint32_t value = len < 2 ? first : first & (0x7fU >> len);

	if (len == 0 || len > text.len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		unsigned char c = (unsigned char)text.at[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (c & 0x3fU);
	}
	if (value < least[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*ret = value;
	return len;
}

bool text_unsafe(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x00, 0x1f},       {0x7f, 0x9f}, {0xad, 0xad}, /* soft hyphen */
		{0x61c, 0x61c},                                 /* Arabic letter mark */
		{0x180e, 0x180e},                               /* vowel separator */
		{0x200b, 0x200f},                               /* zero width, marks of direction */
		{0x2028, 0x202e},   /* line and paragraph separator, embeddings, overrides */
		{0x2060, 0x206f},   /* invisible operators, isolates */
		{0xfeff, 0xfeff},   /* byte-order mark */
		{0xfff9, 0xfffb},   /* interlinear annotation */
		{0xe0000, 0xe0fff}, /* tags */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}
