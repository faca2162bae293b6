-- Every statement of the store but its pragmas. Parameters are bound by name; src/store/
-- sqlite_private.h lists the names, and which connection prepares which statement.

-- The columns of a row are read by their place: change them together with the reader named here.

-- query: begin
BEGIN IMMEDIATE

-- query: commit
COMMIT

-- query: rollback
ROLLBACK

-- ---------------------------------------------------------------- the writer

-- query: find_endpoint
SELECT endpoint_id FROM endpoint WHERE name = :endpoint

-- query: insert_endpoint
INSERT INTO endpoint (name) VALUES (:endpoint)

-- sqlite_order.c, enum find_column
-- query: find_order
SELECT order_id, order_no, shop_id, status, sub_status, courier_id, since_ms, reassignments,
    events, quarantined, first_received_ms, last_received_ms, last_occurred_ms
FROM orders
WHERE iss_order_no = :iss_order_no AND endpoint_id = :endpoint_id

-- sqlite_order.c, enum key_column
-- query: history
SELECT event_id, occurred_ms, received_ms, status, sub_status, occurred_from, verdict, courier_id,
    content
FROM event
WHERE order_id = :order_id

-- query: insert_order
INSERT INTO orders (endpoint_id, iss_order_no, order_no, shop_id, status, sub_status, courier_id,
    since_ms, reassignments, events, quarantined, first_received_ms, last_received_ms,
    last_occurred_ms)
VALUES (:endpoint_id, :iss_order_no, :order_no, :shop_id, :status, :sub_status, :courier_id,
    :since_ms, :reassignments, :events, :quarantined, :first_received_ms, :last_received_ms,
    :last_occurred_ms)

-- Sets no indexed column: SQLite would write the index anew whether the value changes or not.
-- query: update_order
UPDATE orders
SET status = :status, sub_status = :sub_status, courier_id = :courier_id, since_ms = :since_ms,
    reassignments = :reassignments, events = :events, quarantined = :quarantined,
    first_received_ms = :first_received_ms, last_received_ms = :last_received_ms,
    last_occurred_ms = :last_occurred_ms
WHERE order_id = :order_id

-- query: bind_order
UPDATE orders SET order_no = :order_no, shop_id = :shop_id WHERE order_id = :order_id

-- query: insert_event
INSERT INTO event (event_id, order_id, occurred_ms, received_ms, status, sub_status,
    occurred_from, verdict, from_status, from_sub_status, auth, source, courier_id, content,
    body_sha256, link, order_no, shop_id, remote, notes, head, body)
VALUES (:event_id, :order_id, :occurred_ms, :received_ms, :status, :sub_status,
    :occurred_from, :verdict, :from_status, :from_sub_status, :auth, :source, :courier_id, :content,
    :body_sha256, :link, :order_no, :shop_id, :remote, :notes, :head, :body)

-- query: count_delivery
UPDATE event SET deliveries = deliveries + 1 WHERE event_id = :event_id

-- query: receive_order
UPDATE orders
SET first_received_ms = :first_received_ms, last_received_ms = :last_received_ms
WHERE order_id = :order_id

-- query: insert_other
INSERT INTO other (event_id, endpoint_id, received_ms, auth, source, callback_event, iss_order_no,
    body_sha256, link, order_no, shop_id, remote, notes, head, body)
VALUES (:event_id, :endpoint_id, :received_ms, :auth, :source, :callback_event, :iss_order_no,
    :body_sha256, :link, :order_no, :shop_id, :remote, :notes, :head, :body)

-- query: add_status_count
INSERT INTO status_count (status, orders) VALUES (:status, :orders)
ON CONFLICT (status) DO UPDATE SET orders = orders + excluded.orders

-- query: widen_span
INSERT INTO event_span (span, last_event_id, received_from_ms, received_to_ms)
VALUES (:span, :last_event_id, :received_from_ms, :received_to_ms)
ON CONFLICT (span) DO UPDATE SET
    last_event_id = excluded.last_event_id,
    received_from_ms = min(received_from_ms, excluded.received_from_ms),
    received_to_ms = max(received_to_ms, excluded.received_to_ms)

-- query: savepoint_held
SAVEPOINT held

-- query: rollback_held
ROLLBACK TO held

-- query: release_held
RELEASE held

-- query: count_held_again
UPDATE held SET deliveries = deliveries + 1, last_ms = max(last_ms, :received_ms)
WHERE held_id = (SELECT held_id FROM held
    WHERE identity = :content AND endpoint = :endpoint AND reason = :reason LIMIT 1)
RETURNING held_id

-- query: insert_held
INSERT INTO held (received_ms, last_ms, ours, token_ok, bytes, endpoint, reason, remote, identity,
    head, body)
VALUES (:received_ms, :received_ms, :ours, :token_ok, :bytes, :endpoint, :reason, :remote,
    :content, :head, :body)

-- query: oldest_held
SELECT held_id, bytes FROM held WHERE ours = :ours ORDER BY held_id LIMIT 1

-- query: delete_held
DELETE FROM held WHERE held_id = :held_id

-- query: find_held
SELECT endpoint, remote, received_ms, token_ok, head, body, reason FROM held WHERE held_id = :held_id

-- query: update_held_reason
UPDATE held SET reason = :reason WHERE held_id = :held_id

-- query: sum_held
SELECT ours, count(*), sum(bytes) FROM held GROUP BY ours

-- query: count_orders
SELECT status, orders FROM status_count WHERE status > 0 ORDER BY status

-- query: link_of
SELECT link FROM event WHERE event_id = :event_id
UNION ALL SELECT link FROM other WHERE event_id = :event_id
UNION ALL SELECT a.link FROM (SELECT last_event_id, link FROM anchor
    WHERE first_event_id <= :event_id ORDER BY first_event_id DESC LIMIT 1) a
    WHERE a.last_event_id = :event_id

-- query: touch
UPDATE store SET logs_begun = logs_begun + 1

-- ---------------------------------------------------------------- prune, erase, apply

-- A page of orders, of whatever age: a condition would let a step read them all.
-- query: prune_orders
SELECT order_id, status, since_ms, quarantined, last_received_ms
FROM orders
WHERE order_id > :after_id
ORDER BY order_id LIMIT :page

-- query: prune_others
SELECT event_id, received_ms, length(head) + length(body) FROM other
WHERE event_id > :after_id
ORDER BY event_id LIMIT :page

-- query: prune_held
SELECT held_id, last_ms, length(head) + length(body) FROM held
WHERE held_id > :after_id
ORDER BY held_id LIMIT :page

-- query: events_of
SELECT event_id, length(head) + length(body), private_sha256 IS NOT NULL FROM event
WHERE order_id = :order_id

-- query: delete_events
DELETE FROM event WHERE order_id = :order_id

-- query: delete_order
DELETE FROM orders WHERE order_id = :order_id

-- query: delete_other
DELETE FROM other WHERE event_id = :event_id

-- The last range that begins at this number or before it.
-- query: anchor_before
SELECT first_event_id, last_event_id FROM anchor
WHERE first_event_id <= :event_id
ORDER BY first_event_id DESC LIMIT 1

-- query: delete_anchor
DELETE FROM anchor WHERE first_event_id = :event_id

-- query: insert_anchor
INSERT INTO anchor (first_event_id, last_event_id, link)
VALUES (:event_id, :last_event_id, :link)

-- query: orders_called
SELECT order_id FROM orders WHERE iss_order_no = :order
UNION SELECT order_id FROM orders WHERE order_no = :order

-- query: unerased_others
SELECT event_id, iss_order_no, order_no, head, body FROM other WHERE private_sha256 IS NULL

-- query: held_bytes
SELECT held_id, head, body FROM held

-- query: erase_event
UPDATE event
SET private_sha256 = :private_sha256, courier_id = NULL, order_no = NULL, shop_id = NULL,
    remote = NULL, notes = NULL, head = x'', body = x''
WHERE event_id = :event_id

-- query: erase_other
UPDATE other
SET private_sha256 = :private_sha256, order_no = NULL, shop_id = NULL, remote = NULL, notes = NULL,
    head = x'', body = x''
WHERE event_id = :event_id

-- query: erase_order
UPDATE orders SET order_no = NULL, shop_id = NULL, courier_id = NULL WHERE order_id = :order_id

-- query: clear_status_counts
DELETE FROM status_count

-- query: count_statuses_anew
INSERT INTO status_count (status, orders) SELECT status, count(*) FROM orders GROUP BY status

-- ---------------------------------------------------------------- making and opening

-- query: stamp
INSERT INTO store (one, store_id, environment, created_ms, logs_begun)
VALUES (1, :store_id, :environment, :created_ms, 0)

-- Where the database file has the row that says which store it is: a table of one row has one page.
-- query: stamp_page
SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'store'

-- query: identify
SELECT store_id, environment,
    COALESCE((SELECT last_event_id FROM event_span ORDER BY span DESC LIMIT 1), 0)
FROM store

-- ---------------------------------------------------------------- the reader

-- query: read
BEGIN

-- query: last_event
SELECT last_event_id FROM event_span ORDER BY span DESC LIMIT 1

-- query: last_order
SELECT order_id FROM orders ORDER BY order_id DESC LIMIT 1

-- query: next_order
SELECT order_id FROM orders WHERE order_id > :after_id AND order_id <= :to_id
ORDER BY order_id LIMIT 1

-- query: previous_order
SELECT order_id FROM orders WHERE order_id > :after_id AND order_id <= :to_id
ORDER BY order_id DESC LIMIT 1

-- query: next_span
SELECT span FROM event_span
WHERE span >= :from_span AND span <= :to_span
    AND (:received_from_ms IS NULL OR received_to_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR received_from_ms < :received_to_ms)
ORDER BY span LIMIT 1

-- query: previous_span
SELECT span FROM event_span
WHERE span >= :from_span AND span <= :to_span
    AND (:received_from_ms IS NULL OR received_to_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR received_from_ms < :received_to_ms)
ORDER BY span DESC LIMIT 1

-- The three that pick events have the columns of history, and one filter.
-- query: events_up
SELECT e.event_id, e.occurred_ms, e.received_ms, e.status, e.sub_status, e.occurred_from,
    e.verdict, e.courier_id, e.content
FROM event e
WHERE e.event_id > :after_id AND e.event_id <= :to_id
    AND (:verdicts IS NULL OR (:verdicts >> e.verdict) & 1)
    AND (:auth IS NULL OR e.auth = :auth)
    AND (:received_from_ms IS NULL OR e.received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR e.received_ms < :received_to_ms)
    AND (:endpoint IS NULL OR :endpoint = (SELECT p.name FROM endpoint p WHERE p.endpoint_id =
        (SELECT o.endpoint_id FROM orders o WHERE o.order_id = e.order_id)))
ORDER BY e.event_id LIMIT :page

-- query: events_down
SELECT e.event_id, e.occurred_ms, e.received_ms, e.status, e.sub_status, e.occurred_from,
    e.verdict, e.courier_id, e.content
FROM event e
WHERE e.event_id > :after_id AND e.event_id <= :to_id
    AND (:verdicts IS NULL OR (:verdicts >> e.verdict) & 1)
    AND (:auth IS NULL OR e.auth = :auth)
    AND (:received_from_ms IS NULL OR e.received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR e.received_ms < :received_to_ms)
    AND (:endpoint IS NULL OR :endpoint = (SELECT p.name FROM endpoint p WHERE p.endpoint_id =
        (SELECT o.endpoint_id FROM orders o WHERE o.order_id = e.order_id)))
ORDER BY e.event_id DESC LIMIT :page

-- The same for verdicts that are all in quarantine, of which there are few among many.
-- query: quarantined_up
SELECT e.event_id, e.occurred_ms, e.received_ms, e.status, e.sub_status, e.occurred_from,
    e.verdict, e.courier_id, e.content
FROM event e INDEXED BY event_quarantined
WHERE e.verdict >= 6 AND e.verdict <= 9 AND e.event_id > :after_id AND e.event_id <= :to_id
    AND (:verdicts IS NULL OR (:verdicts >> e.verdict) & 1)
    AND (:auth IS NULL OR e.auth = :auth)
    AND (:received_from_ms IS NULL OR e.received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR e.received_ms < :received_to_ms)
    AND (:endpoint IS NULL OR :endpoint = (SELECT p.name FROM endpoint p WHERE p.endpoint_id =
        (SELECT o.endpoint_id FROM orders o WHERE o.order_id = e.order_id)))
ORDER BY e.event_id LIMIT :page

-- query: quarantined_down
SELECT e.event_id, e.occurred_ms, e.received_ms, e.status, e.sub_status, e.occurred_from,
    e.verdict, e.courier_id, e.content
FROM event e INDEXED BY event_quarantined
WHERE e.verdict >= 6 AND e.verdict <= 9 AND e.event_id > :after_id AND e.event_id <= :to_id
    AND (:verdicts IS NULL OR (:verdicts >> e.verdict) & 1)
    AND (:auth IS NULL OR e.auth = :auth)
    AND (:received_from_ms IS NULL OR e.received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR e.received_ms < :received_to_ms)
    AND (:endpoint IS NULL OR :endpoint = (SELECT p.name FROM endpoint p WHERE p.endpoint_id =
        (SELECT o.endpoint_id FROM orders o WHERE o.order_id = e.order_id)))
ORDER BY e.event_id DESC LIMIT :page

-- query: events_of_order
SELECT e.event_id, e.occurred_ms, e.received_ms, e.status, e.sub_status, e.occurred_from,
    e.verdict, e.courier_id, e.content
FROM event e
WHERE e.order_id IN (
        SELECT order_id FROM orders WHERE iss_order_no = :order
        UNION SELECT order_id FROM orders WHERE order_no = :order)
    AND e.event_id > :after_id
    AND (:verdicts IS NULL OR (:verdicts >> e.verdict) & 1)
    AND (:auth IS NULL OR e.auth = :auth)
    AND (:received_from_ms IS NULL OR e.received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR e.received_ms < :received_to_ms)
    AND (:endpoint IS NULL OR :endpoint = (SELECT p.name FROM endpoint p WHERE p.endpoint_id =
        (SELECT o.endpoint_id FROM orders o WHERE o.order_id = e.order_id)))

-- The columns of tbl/event_column.def.
-- query: event_row
SELECT event_id, endpoint, iss_order_no, order_no, shop_id, status, sub_status, occurred, received,
    verdict, from_status, from_sub_status, auth, source, deliveries, remote, notes, occurred_from
FROM order_log
WHERE event_id = :event_id

-- query: orders_up
SELECT order_id FROM orders
WHERE order_id > :after_id AND order_id <= :to_id
    AND (:status IS NULL OR status = :status)
    AND (:shop_id IS NULL OR shop_id = :shop_id)
    AND (:since_before_ms IS NULL OR since_ms < :since_before_ms)
    AND (:received_from_ms IS NULL OR last_received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR last_received_ms < :received_to_ms)
ORDER BY order_id LIMIT :page

-- query: orders_down
SELECT order_id FROM orders
WHERE order_id > :after_id AND order_id <= :to_id
    AND (:status IS NULL OR status = :status)
    AND (:shop_id IS NULL OR shop_id = :shop_id)
    AND (:since_before_ms IS NULL OR since_ms < :since_before_ms)
    AND (:received_from_ms IS NULL OR last_received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR last_received_ms < :received_to_ms)
ORDER BY order_id DESC LIMIT :page

-- The same for a status in which orders do not rest.
-- query: open_orders_up
SELECT order_id FROM orders INDEXED BY orders_open
WHERE status NOT IN (50, 60) AND order_id > :after_id AND order_id <= :to_id
    AND (:status IS NULL OR status = :status)
    AND (:shop_id IS NULL OR shop_id = :shop_id)
    AND (:since_before_ms IS NULL OR since_ms < :since_before_ms)
    AND (:received_from_ms IS NULL OR last_received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR last_received_ms < :received_to_ms)
ORDER BY order_id LIMIT :page

-- query: open_orders_down
SELECT order_id FROM orders INDEXED BY orders_open
WHERE status NOT IN (50, 60) AND order_id > :after_id AND order_id <= :to_id
    AND (:status IS NULL OR status = :status)
    AND (:shop_id IS NULL OR shop_id = :shop_id)
    AND (:since_before_ms IS NULL OR since_ms < :since_before_ms)
    AND (:received_from_ms IS NULL OR last_received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR last_received_ms < :received_to_ms)
ORDER BY order_id DESC LIMIT :page

-- query: orders_named
SELECT order_id FROM orders
WHERE order_id IN (
        SELECT order_id FROM orders WHERE iss_order_no = :order
        UNION SELECT order_id FROM orders WHERE order_no = :order)
    AND (:status IS NULL OR status = :status)
    AND (:shop_id IS NULL OR shop_id = :shop_id)
    AND (:since_before_ms IS NULL OR since_ms < :since_before_ms)
    AND (:received_from_ms IS NULL OR last_received_ms >= :received_from_ms)
    AND (:received_to_ms IS NULL OR last_received_ms < :received_to_ms)
ORDER BY order_id

-- The columns of tbl/order_column.def.
-- query: order_row
SELECT s.endpoint, s.iss_order_no, s.order_no, s.shop_id, s.status, s.sub_status, s.status_text,
    s.since, s.first_received, s.last_received, s.events, s.reassignments, s.quarantined,
    s.courier_id
FROM orders o
JOIN order_state s ON s.iss_order_no = o.iss_order_no
    AND s.endpoint = (SELECT p.name FROM endpoint p WHERE p.endpoint_id = o.endpoint_id)
WHERE o.order_id = :order_id

-- The columns of history.
-- query: fold_event
SELECT event_id, occurred_ms, received_ms, status, sub_status, occurred_from, verdict, courier_id,
    content
FROM event
WHERE event_id = :event_id

-- query: raw_event
SELECT head, body, private_sha256 IS NOT NULL FROM event WHERE event_id = :event_id
UNION ALL
SELECT head, body, private_sha256 IS NOT NULL FROM other WHERE event_id = :event_id

-- What was readmitted keeps its first receipt, so it tells nothing of the clock.
-- query: receipts
SELECT event_id, received_ms FROM event
WHERE event_id > :after_id AND source = 0
ORDER BY event_id

-- query: backup
VACUUM INTO :file

-- The columns of history, and what else it takes to judge it again.
-- query: arrivals
SELECT event_id, occurred_ms, received_ms, status, sub_status, occurred_from, verdict, courier_id,
    content, order_no, shop_id, private_sha256 IS NOT NULL
FROM event
WHERE order_id = :order_id

-- query: order_of_event
SELECT order_id FROM event WHERE event_id = :event_id

-- query: order_of_name
SELECT order_id FROM orders
WHERE iss_order_no = :iss_order_no
    AND endpoint_id = (SELECT endpoint_id FROM endpoint WHERE name = :endpoint)

-- ---------------------------------------------------------------- verify

-- The columns of src/store/chain_column.def and those of enum chain_extra after them.
-- query: chain_page
SELECT e.event_id AS event_id, 0 AS kind,
    (SELECT p.name FROM endpoint p WHERE p.endpoint_id =
        (SELECT o.endpoint_id FROM orders o WHERE o.order_id = e.order_id)),
    (SELECT o.iss_order_no FROM orders o WHERE o.order_id = e.order_id),
    NULL, e.occurred_ms, e.received_ms, e.status, e.sub_status, e.occurred_from, e.verdict,
    e.from_status, e.from_sub_status, e.auth, e.source, e.content,
    e.courier_id, e.order_no, e.shop_id, e.remote, e.notes, e.head,
    e.body, e.body_sha256, e.link, e.private_sha256,
    (SELECT o.order_no FROM orders o WHERE o.order_id = e.order_id),
    (SELECT o.shop_id FROM orders o WHERE o.order_id = e.order_id)
FROM event e
WHERE e.event_id > :after_id AND e.event_id <= :to_id
UNION ALL
SELECT t.event_id, 1,
    (SELECT p.name FROM endpoint p WHERE p.endpoint_id = t.endpoint_id),
    t.iss_order_no,
    t.callback_event, NULL, t.received_ms, NULL, NULL, NULL, NULL,
    NULL, NULL, t.auth, t.source, NULL,
    NULL, t.order_no, t.shop_id, t.remote, t.notes, t.head,
    t.body, t.body_sha256, t.link, t.private_sha256,
    NULL, NULL
FROM other t
WHERE t.event_id > :after_id AND t.event_id <= :to_id
ORDER BY 1 LIMIT :page

-- query: anchor_at
SELECT last_event_id, link FROM anchor WHERE first_event_id = :event_id

-- Two statements, so that a damaged table does not hide what the other one says.
-- query: newest_event
SELECT event_id FROM event ORDER BY event_id DESC LIMIT 1

-- query: newest_other
SELECT event_id FROM other ORDER BY event_id DESC LIMIT 1

-- The columns of find_order, and the order's name.
-- query: orders_after
SELECT o.order_id, o.order_no, o.shop_id, o.status, o.sub_status, o.courier_id, o.since_ms,
    o.reassignments, o.events, o.quarantined, o.first_received_ms, o.last_received_ms,
    o.last_occurred_ms, o.iss_order_no,
    (SELECT p.name FROM endpoint p WHERE p.endpoint_id = o.endpoint_id)
FROM orders o
WHERE o.order_id > :after_id
ORDER BY o.order_id LIMIT :page

-- The columns of history, and whether the event was erased. NOT INDEXED would read every event.
-- query: fold_order
SELECT event_id, occurred_ms, received_ms, status, sub_status, occurred_from, verdict, courier_id,
    content, private_sha256 IS NOT NULL
FROM event
WHERE order_id = :order_id

-- query: count_statuses
SELECT s.status, max(s.counted), max(s.told)
FROM (
    SELECT status, count(*) AS counted, 0 AS told FROM orders GROUP BY status
    UNION ALL SELECT status, 0, orders FROM status_count) s
GROUP BY s.status
HAVING max(s.counted) <> max(s.told)

-- Newest first. The columns of tbl/held_column.def.
-- query: held_rows
SELECT held_id, endpoint, received, last_received, deliveries, reason, ours, remote, body_bytes
FROM held_log
WHERE held_id < :after_id
    AND (:endpoint IS NULL OR endpoint = :endpoint)
    AND (:reason IS NULL OR reason = :reason)
    AND (:ours IS NULL OR ours = :ours)
ORDER BY held_id DESC LIMIT :page

-- query: raw_held
SELECT head, body, 0 FROM held WHERE held_id = :held_id
