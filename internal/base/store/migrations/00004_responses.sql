-- Answers of /v1/responses that later requests may go on from. Each belongs to an API key's name.

-- +goose Up
CREATE TABLE responses (
    owner       TEXT NOT NULL,
    id          TEXT NOT NULL,
    created_us  BIGINT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (owner, id)
);
CREATE INDEX responses_by_time ON responses (created_us);

-- +goose Down
DROP TABLE responses;
