-- The first version of the store. docs/store.md explains it to operators.
--
-- Times are integers, milliseconds since 1970 UTC. What is absent is NULL, which takes no byte.
-- Enumerations are their numbers in the tables of include/orderhook/tbl/ and the enums of
-- event.h; the views give their words, and a test holds the two together.

-- One row: what this file is.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL, -- random; ties PATH.head to this file
    environment TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    logs_begun INTEGER NOT NULL -- raised with each log, so that every log holds this row
) STRICT;

CREATE TABLE endpoint (
    endpoint_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- One row for each delivery order: the fold over its events, and what spares the writer from
-- reading them. An event has the order's small integer, so that the index on events stays short
-- and its insertions stay at the recent end.
CREATE TABLE orders (
    order_id INTEGER PRIMARY KEY,
    endpoint_id INTEGER NOT NULL REFERENCES endpoint,
    iss_order_no TEXT NOT NULL,
    order_no TEXT, -- the first one that an event named
    shop_id TEXT,  -- likewise
    status INTEGER NOT NULL, -- 0: no event has moved it yet
    sub_status INTEGER,
    courier_id TEXT,
    since_ms INTEGER,
    reassignments INTEGER NOT NULL,
    events INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    first_received_ms INTEGER NOT NULL,
    last_received_ms INTEGER NOT NULL, -- duplicates count
    last_occurred_ms INTEGER NOT NULL -- of all its events, whatever their verdict
) STRICT;

-- Every callback looks its order up by this one.
CREATE UNIQUE INDEX orders_by_iss ON orders (iss_order_no, endpoint_id);
-- `orderhook show ORDERNO`: a merchant's number, which several dispatches may share.
CREATE INDEX orders_by_order_no ON orders (order_no);

-- Orders that are on their way, few of all: an order rests in 50 and 60. `orderhook attention` asks
-- for them every minute.
CREATE INDEX orders_open ON orders (order_id) WHERE status NOT IN (50, 60);

-- One row for each event that was taken. link chains it to the event before it, over everything but
-- deliveries: docs/decisions/0005-evidence.md. body is last and head before it: what the judge reads
-- lies in front of them.
CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders,
    occurred_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    status INTEGER NOT NULL,
    sub_status INTEGER,
    occurred_from INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    from_status INTEGER,
    from_sub_status INTEGER,
    auth INTEGER NOT NULL,
    source INTEGER NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 1,
    courier_id TEXT,
    content BLOB NOT NULL CHECK (length(content) = 32),
    body_sha256 BLOB NOT NULL CHECK (length(body_sha256) = 32),
    link BLOB NOT NULL CHECK (length(link) = 32),
    private_sha256 BLOB CHECK (length(private_sha256) = 32), -- only of an erased event
    order_no TEXT, -- only where it is not the order's
    shop_id TEXT,  -- only where it is not the order's
    remote TEXT,
    notes TEXT,
    head BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- An order's timeline, and the events among which a duplicate is looked for.
CREATE INDEX event_by_order ON event (order_id, occurred_ms);

-- What a person should look at, few of all: in it are only conflict, illegal, unknown and mismatch,
-- so that the others' inserts do not touch it. A range, not a list: for IN SQLite would fill a table
-- with the list on every insert, at twice the cost of the event itself. A query must say the same.
CREATE INDEX event_quarantined ON event (event_id, verdict) WHERE verdict >= 6 AND verdict <= 9;

-- Which times of receipt lie in which 4096 events: --since and --until read these rows instead of
-- the events, at a row for 4096 of them. last_event_id of the last row is the last number given
-- out, so that no number is given out twice: the last row is never deleted.
CREATE TABLE event_span (
    span INTEGER PRIMARY KEY, -- event_id / 4096
    last_event_id INTEGER NOT NULL,
    received_from_ms INTEGER NOT NULL,
    received_to_ms INTEGER NOT NULL -- inclusive
) STRICT;

-- Callbacks of another callbackEvent, judged by nobody. Their numbers are of the events' sequence.
CREATE TABLE other (
    event_id INTEGER PRIMARY KEY,
    endpoint_id INTEGER NOT NULL REFERENCES endpoint,
    received_ms INTEGER NOT NULL,
    auth INTEGER NOT NULL,
    source INTEGER NOT NULL,
    callback_event TEXT,
    iss_order_no TEXT,
    body_sha256 BLOB NOT NULL CHECK (length(body_sha256) = 32),
    link BLOB NOT NULL CHECK (length(link) = 32),
    private_sha256 BLOB CHECK (length(private_sha256) = 32), -- only of an erased event
    order_no TEXT,
    shop_id TEXT,
    remote TEXT,
    notes TEXT,
    head BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Numbers whose events were pruned: the chain goes on behind them with the link of the last one.
CREATE TABLE anchor (
    first_event_id INTEGER PRIMARY KEY,
    last_event_id INTEGER NOT NULL CHECK (last_event_id >= first_event_id),
    link BLOB NOT NULL CHECK (length(link) = 32)
) STRICT;


-- Refused deliveries (400, 401), a ring: the oldest of a half go when the half is full. An id is
-- never given out twice, so that a command with an old one cannot mean another delivery.
CREATE TABLE held (
    held_id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_ms INTEGER NOT NULL, -- of the first receipt
    last_ms INTEGER NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 1,
    ours INTEGER NOT NULL, -- the half: 1 for a right URL token, or clientId and shopId that are ours
    token_ok INTEGER NOT NULL,
    bytes INTEGER NOT NULL, -- what it takes of its half
    endpoint TEXT NOT NULL,
    reason TEXT NOT NULL, -- key of the error
    remote TEXT,
    identity BLOB NOT NULL CHECK (length(identity) = 32), -- equal for what is counted as one
    head BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX held_by_identity ON held (identity);
CREATE INDEX held_by_half ON held (ours, held_id, bytes);

CREATE VIEW held_log AS
SELECT
    h.held_id AS held_id,
    h.endpoint AS endpoint,
    strftime('%Y-%m-%dT%H:%M:%fZ', h.received_ms / 1000.0, 'unixepoch') AS received,
    strftime('%Y-%m-%dT%H:%M:%fZ', h.last_ms / 1000.0, 'unixepoch') AS last_received,
    h.deliveries AS deliveries,
    h.reason AS reason,
    h.ours AS ours,
    h.remote AS remote,
    length(h.body) AS body_bytes,
    h.body AS body
FROM held h;

-- Orders in each status, kept by the writer: counting them takes 161 ms at 11 million events.
CREATE TABLE status_count (
    status INTEGER PRIMARY KEY,
    orders INTEGER NOT NULL
) STRICT;

CREATE VIEW order_state AS
SELECT
    (SELECT p.name FROM endpoint p WHERE p.endpoint_id = o.endpoint_id) AS endpoint,
    o.iss_order_no AS iss_order_no,
    o.order_no AS order_no,
    o.shop_id AS shop_id,
    NULLIF(o.status, 0) AS status,
    o.sub_status AS sub_status,
    CASE o.status
        WHEN 20 THEN CASE o.sub_status WHEN 2 THEN '转单改派中' ELSE '派单中' END
        WHEN 30 THEN CASE o.sub_status WHEN 2 THEN '已就位' ELSE '待取货' END
        WHEN 40 THEN CASE o.sub_status
            WHEN 2 THEN '申请取消中'
            WHEN 3 THEN '物品送回中'
            WHEN 4 THEN '客服介入中'
            ELSE '闪送中' END
        WHEN 50 THEN CASE o.sub_status WHEN 2 THEN '已退款' ELSE '已完成' END
        WHEN 60 THEN '已取消'
    END AS status_text,
    strftime('%Y-%m-%dT%H:%M:%fZ', o.since_ms / 1000.0, 'unixepoch') AS since,
    strftime('%Y-%m-%dT%H:%M:%fZ', o.first_received_ms / 1000.0, 'unixepoch') AS first_received,
    strftime('%Y-%m-%dT%H:%M:%fZ', o.last_received_ms / 1000.0, 'unixepoch') AS last_received,
    o.events AS events,
    o.reassignments AS reassignments,
    o.quarantined AS quarantined,
    o.courier_id AS courier_id
FROM orders o;

CREATE VIEW order_log AS
SELECT
    e.event_id AS event_id,
    (SELECT p.name FROM endpoint p WHERE p.endpoint_id = o.endpoint_id) AS endpoint,
    o.iss_order_no AS iss_order_no,
    COALESCE(e.order_no, o.order_no) AS order_no,
    COALESCE(e.shop_id, o.shop_id) AS shop_id,
    e.status AS status,
    e.sub_status AS sub_status,
    strftime('%Y-%m-%dT%H:%M:%fZ', e.occurred_ms / 1000.0, 'unixepoch') AS occurred,
    strftime('%Y-%m-%dT%H:%M:%fZ', e.received_ms / 1000.0, 'unixepoch') AS received,
    CASE e.verdict
        WHEN 0 THEN 'applied'
        WHEN 1 THEN 'jumped'
        WHEN 2 THEN 'reassigned'
        WHEN 3 THEN 'repeated'
        WHEN 4 THEN 'late'
        WHEN 5 THEN 'duplicate'
        WHEN 6 THEN 'conflict'
        WHEN 7 THEN 'illegal'
        WHEN 8 THEN 'unknown'
        WHEN 9 THEN 'mismatch'
    END AS verdict,
    e.from_status AS from_status,
    e.from_sub_status AS from_sub_status,
    CASE e.auth WHEN 0 THEN 'token' WHEN 1 THEN 'signed' END AS auth,
    CASE e.source WHEN 0 THEN 'callback' WHEN 1 THEN 'readmit' END AS source,
    e.deliveries AS deliveries,
    e.remote AS remote,
    CASE WHEN e.private_sha256 IS NULL THEN e.notes ELSE 'erased' END AS notes,
    CASE e.occurred_from WHEN 0 THEN 'platform' WHEN 1 THEN 'receipt' END AS occurred_from,
    CASE WHEN e.private_sha256 IS NULL THEN e.body END AS body
FROM event e
JOIN orders o ON o.order_id = e.order_id;

CREATE VIEW other_event AS
SELECT
    t.event_id AS event_id,
    (SELECT p.name FROM endpoint p WHERE p.endpoint_id = t.endpoint_id) AS endpoint,
    t.callback_event AS callback_event,
    t.iss_order_no AS iss_order_no,
    t.order_no AS order_no,
    t.shop_id AS shop_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', t.received_ms / 1000.0, 'unixepoch') AS received,
    CASE t.auth WHEN 0 THEN 'token' WHEN 1 THEN 'signed' END AS auth,
    CASE t.source WHEN 0 THEN 'callback' WHEN 1 THEN 'readmit' END AS source,
    t.remote AS remote,
    CASE WHEN t.private_sha256 IS NULL THEN t.notes ELSE 'erased' END AS notes,
    CASE WHEN t.private_sha256 IS NULL THEN t.body END AS body
FROM other t;
