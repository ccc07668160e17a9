-- A line of the request log has a name of its own: after a connection that broke while a batch was stored, nobody knows
-- whether it was, and the batch is sent again. Lines of before have none, and stay as they are.

-- +goose Up
ALTER TABLE requests ADD COLUMN line TEXT;
CREATE UNIQUE INDEX requests_by_line ON requests (line);

-- +goose Down
DROP INDEX requests_by_line;
ALTER TABLE requests DROP COLUMN line;
