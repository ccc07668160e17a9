-- +goose Up
ALTER TABLE requests ADD COLUMN completion_id TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN client_gone INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE requests DROP COLUMN client_gone;
ALTER TABLE requests DROP COLUMN completion_id;
