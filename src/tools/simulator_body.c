/*
 * The callback object, member by member in the order of the captured ones: alphabetical, with the
 * courier and the hand-over codes from 30 on, who cancelled and why at 60, and no member that the
 * platform leaves out. Names and numbers are the samples' own made-up ones.
 */
#include "simulator_private.h"

#include <stdio.h>

#include "orderhook/err.h"
#include "orderhook/json_scan.h"

#define CHINA_OFFSET_MS (8 * 60 * 60 * 1000LL)
#define HEAD_ICON "https://cdn.ishansong.com/courier-static/courierHead.png"
#define MOBILE "13800138000"

enum {
	MIX_COURIER = 1000, /* and up: one for each courier of the order */
	MIX_ABORT = 1,
	MIX_FEE,
};

static int add_member(struct buf *out, const char *key, const char *text)
{
	int err = buf_addf(out, "\"%s\":", key);

	if (!err)
		err = json_add_string(out, slice_of(text));
	return err ? err : buf_add_char(out, ',');
}

static unsigned courier_number(const struct sim_order *order, unsigned courier)
{
	/* The low digit is the courier's place in the order: another courier is another number. */
	return (unsigned)(sim_mix(order->salt, MIX_COURIER) % 10000000) * 10 + courier % 10;
}

#define COURIER_ID_BYTES 24
static void courier_id(const struct sim_order *order, unsigned courier, char out[COURIER_ID_BYTES])
{
	snprintf(out, COURIER_ID_BYTES, "SSBJ%09u", courier_number(order, courier));
}

static int add_courier(struct buf *out, const struct sim_order *order, const struct sim_step *step)
{
	static const char *const names[] = {"测师傅", "试师傅", "样师傅", "例师傅"};
	unsigned number = courier_number(order, step->courier);
	int status;
	int sub_status;
	char id[COURIER_ID_BYTES];
	int err;

	sim_node_status(step->node, &status, &sub_status);
	courier_id(order, step->courier, id);
	err = buf_add_string(out, "\"courier\":{\"blacklisted\":0,\"deliveryProcessTrail\":[],");
	/* Nothing is estimated any more for what has been delivered. */
	if (!err && status != 50)
		err = add_member(out, "estimateDeliveryTimeTip",
				 status == 30 ? "即将上门取件" : "闪送员正在配送");
	if (!err)
		err = buf_add_string(out, "\"gcj02Trail\":[],");
	if (!err)
		err = add_member(out, "headIcon", HEAD_ICON);
	if (!err)
		err = add_member(out, "id", id);
	if (!err)
		err = add_member(out, "mobile", MOBILE);
	if (!err)
		err = add_member(out, "name", names[number % (sizeof(names) / sizeof(names[0]))]);
	return err ? err : buf_addf(out, "\"orderCount\":%u,\"type\":1},", number % 20000);
}

/* Who cancels before and after pickup, and what it costs. */
struct abort {
	const char *reason;
	int type;
	int punish;
	int deduct_fen;
};

static const struct abort *abort_of(const struct sim_order *order)
{
	static const struct abort aborts[] = {
		{"客户取消订单", 1, 1, 500},
		{"闪送员取消", 3, 3, 0},
		{"超时无人接单，系统取消", 10, 10, 0},
	};

	return &aborts[sim_mix(order->salt, MIX_ABORT) % (sizeof(aborts) / sizeof(aborts[0]))];
}

static bool was_returned(const struct sim_order *order, size_t step)
{
	for (size_t i = 0; i <= step; i++) {
		if (order->steps[i].node == NODE_S40_3)
			return true;
	}
	return false;
}

static int add_texts(struct buf *out, int status, int sub_status, int64_t occurred_ms)
{
	char when[CLOCK_LOCAL_BYTES];
	int err;

	clock_format_local(occurred_ms, CHINA_OFFSET_MS, when);
	err = buf_addf(out, "\"status\":%d,\"statusChangeTime\":\"%s\",", status, when);
	/* The status's own text is that of its first state: 20/2 says 派单中 and 转单改派中. */
	if (!err)
		err = add_member(out, "statusDesc", order_status_zh(status, EVENT_SUB_ABSENT));
	if (err || sub_status == EVENT_SUB_ABSENT)
		return err;
	err = buf_addf(out, "\"subStatus\":%d,", sub_status);
	return err ? err : add_member(out, "subStatusDesc", order_status_zh(status, sub_status));
}

static int add_first_half(struct buf *out, const struct sim_order *order, size_t step,
			  const struct sim_identity *identity)
{
	const struct sim_step *at = &order->steps[step];
	bool cancelled = at->node == NODE_S60;
	const struct abort *reason = abort_of(order);
	int err = buf_add_char(out, '{');

	if (!err && cancelled)
		err = add_member(out, "abortReason", reason->reason);
	if (!err && cancelled)
		err = buf_addf(out, "\"abortType\":%d,", reason->type);
	if (!err)
		err = add_member(out, "clientId", identity->client_id);
	if (!err && at->courier)
		err = add_courier(out, order, at);
	if (!err && cancelled)
		err = buf_addf(out, "\"deductAmount\":%d,", reason->deduct_fen);
	if (!err && at->courier)
		err = add_member(out, "deliveryPassword", order->delivery_password);
	return err;
}

int sim_body(const struct sim_order *order, size_t step, const struct sim_identity *identity,
	     struct buf *out)
{
	const struct sim_step *at = &order->steps[step];
	unsigned fee_fen = 600 + (unsigned)(sim_mix(order->salt, MIX_FEE) % 30) * 100;
	int err = add_first_half(out, order, step, identity);
	int status;
	int sub_status;

	sim_node_status(at->node, &status, &sub_status);
	if (!err)
		err = buf_addf(out, "\"drawback\":%u,", at->node == NODE_S50_2 ? fee_fen : 0);
	if (!err)
		err = add_member(out, "issOrderNo", order->iss_order_no);
	if (!err)
		err = add_member(out, "orderNo", order->order_no);
	if (!err && at->courier)
		err = add_member(out, "pickupPassword", order->pickup_password);
	if (!err && at->node == NODE_S60)
		err = buf_addf(out, "\"punishType\":%d,", abort_of(order)->punish);
	if (!err)
		err = buf_addf(out, "\"sendBackFee\":%u,", was_returned(order, step) ? fee_fen : 0);
	if (!err)
		err = add_member(out, "shopId", identity->shop_id);
	if (!err)
		err = add_texts(out, status, sub_status, at->occurred_ms);
	return err ? err : buf_addf(out, "\"token\":\"%s\"}", order->token);
}

int sim_key(const struct sim_order *order, size_t step, struct buf *out)
{
	const struct sim_step *at = &order->steps[step];
	char when[CLOCK_LOCAL_BYTES];
	char id[COURIER_ID_BYTES] = "";
	char sub[12] = "";
	int status;
	int sub_status;

	sim_node_status(at->node, &status, &sub_status);
	clock_format_local(at->occurred_ms, CHINA_OFFSET_MS, when);
	if (at->courier)
		courier_id(order, at->courier, id);
	if (sub_status != EVENT_SUB_ABSENT)
		snprintf(sub, sizeof(sub), "%d", sub_status);
	return buf_addf(out, "%s/%d/%s/%s/%s", order->iss_order_no, status, sub, when, id);
}
