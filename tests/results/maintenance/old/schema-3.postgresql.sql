CREATE TABLE public.architecture (
    fingerprint character varying NOT NULL,
    json json NOT NULL,
    params bigint NOT NULL,
    macs bigint NOT NULL,
    activations bigint NOT NULL,
    memory_bytes bigint NOT NULL,
    depth integer,
    input_shape json
);
CREATE TABLE public.artifact (
    artifact_id integer NOT NULL,
    trial_id integer NOT NULL,
    kind character varying NOT NULL,
    uri character varying NOT NULL,
    bytes bigint NOT NULL,
    sha256 character varying NOT NULL,
    created_at timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.artifact_artifact_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.artifact_artifact_id_seq OWNED BY public.artifact.artifact_id;
CREATE TABLE public.attempt (
    trial_id integer NOT NULL,
    attempt integer NOT NULL,
    node character varying,
    device character varying,
    pid integer,
    started_at timestamp without time zone NOT NULL,
    heartbeat_at timestamp without time zone NOT NULL,
    ended_at timestamp without time zone,
    outcome character varying
);
CREATE TABLE public.dataset (
    content_hash character varying NOT NULL,
    name character varying NOT NULL,
    n_train integer,
    n_val integer,
    n_test integer,
    n_classes integer,
    class_names json,
    input_shape json,
    split_seed bigint
);
CREATE TABLE public.event (
    event_id integer NOT NULL,
    run_id integer NOT NULL,
    trial_id integer,
    at timestamp without time zone NOT NULL,
    level character varying NOT NULL,
    kind character varying NOT NULL,
    detail json NOT NULL
);
CREATE SEQUENCE public.event_event_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.event_event_id_seq OWNED BY public.event.event_id;
CREATE TABLE public.layer (
    fingerprint character varying NOT NULL,
    idx integer NOT NULL,
    name character varying NOT NULL,
    kind character varying NOT NULL,
    out_shape json NOT NULL,
    params bigint NOT NULL,
    macs bigint NOT NULL,
    activations bigint NOT NULL
);
CREATE TABLE public.measurement (
    measurement_id integer NOT NULL,
    run_id integer NOT NULL,
    trial_id integer,
    fingerprint character varying NOT NULL,
    device character varying NOT NULL,
    machine character varying NOT NULL,
    torch character varying NOT NULL,
    "precision" character varying NOT NULL,
    batch_size integer NOT NULL,
    threads integer NOT NULL,
    warmup integer NOT NULL,
    n integer NOT NULL,
    latency_ms_p50 double precision NOT NULL,
    latency_ms_p90 double precision NOT NULL,
    peak_memory_bytes bigint,
    predicted_ms double precision,
    measured_at timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.measurement_measurement_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.measurement_measurement_id_seq OWNED BY public.measurement.measurement_id;
CREATE TABLE public.meta (
    key character varying NOT NULL,
    value character varying NOT NULL
);
CREATE TABLE public.metric (
    trial_id integer NOT NULL,
    name character varying NOT NULL,
    step integer NOT NULL,
    value double precision,
    special character varying,
    CONSTRAINT metric_special CHECK (((special)::text = ANY ((ARRAY['nan'::character varying, '+inf'::character varying, '-inf'::character varying])::text[]))),
    CONSTRAINT metric_value_or_special CHECK (((value IS NULL) = (special IS NOT NULL)))
);
CREATE TABLE public.process (
    process_id integer NOT NULL,
    run_id integer NOT NULL,
    host character varying,
    pid integer,
    boot_id character varying,
    argv json,
    git_commit character varying,
    git_dirty boolean,
    versions json,
    devices json,
    other json,
    started_at timestamp without time zone NOT NULL,
    heartbeat_at timestamp without time zone NOT NULL,
    ended_at timestamp without time zone,
    end_reason character varying
);
CREATE SEQUENCE public.process_process_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.process_process_id_seq OWNED BY public.process.process_id;
CREATE TABLE public.proxy_score (
    run_id integer NOT NULL,
    fingerprint character varying NOT NULL,
    name character varying NOT NULL,
    value double precision,
    reason character varying,
    CONSTRAINT proxy_value_or_reason CHECK (((value IS NULL) = (reason IS NOT NULL)))
);
CREATE TABLE public.run (
    run_id integer NOT NULL,
    name character varying NOT NULL,
    status character varying NOT NULL,
    config json NOT NULL,
    searcher character varying NOT NULL,
    seed bigint NOT NULL,
    dataset_hash character varying NOT NULL,
    version character varying NOT NULL,
    created_at timestamp without time zone NOT NULL,
    finished_at timestamp without time zone
);
CREATE SEQUENCE public.run_run_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_run_id_seq OWNED BY public.run.run_id;
CREATE TABLE public.trial (
    trial_id integer NOT NULL,
    run_id integer NOT NULL,
    number integer NOT NULL,
    state character varying NOT NULL,
    fingerprint character varying NOT NULL,
    choices json NOT NULL,
    recipe json NOT NULL,
    seed bigint NOT NULL,
    params bigint NOT NULL,
    macs bigint NOT NULL,
    activations bigint NOT NULL,
    memory_bytes bigint NOT NULL,
    epochs_done integer NOT NULL,
    best_epoch integer,
    val_accuracy double precision,
    val_loss double precision,
    train_accuracy double precision,
    train_loss double precision,
    test_accuracy double precision,
    latency_ms double precision,
    fail_kind character varying,
    reason character varying,
    created_at timestamp without time zone NOT NULL,
    started_at timestamp without time zone,
    ended_at timestamp without time zone,
    device character varying,
    duration_s double precision,
    source_trial_id integer,
    CONSTRAINT trial_state CHECK (((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying, 'completed'::character varying, 'stopped_early'::character varying, 'failed'::character varying, 'interrupted'::character varying])::text[])))
);
CREATE SEQUENCE public.trial_trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_trial_id_seq OWNED BY public.trial.trial_id;
ALTER TABLE ONLY public.artifact ALTER COLUMN artifact_id SET DEFAULT nextval('public.artifact_artifact_id_seq'::regclass);
ALTER TABLE ONLY public.event ALTER COLUMN event_id SET DEFAULT nextval('public.event_event_id_seq'::regclass);
ALTER TABLE ONLY public.measurement ALTER COLUMN measurement_id SET DEFAULT nextval('public.measurement_measurement_id_seq'::regclass);
ALTER TABLE ONLY public.process ALTER COLUMN process_id SET DEFAULT nextval('public.process_process_id_seq'::regclass);
ALTER TABLE ONLY public.run ALTER COLUMN run_id SET DEFAULT nextval('public.run_run_id_seq'::regclass);
ALTER TABLE ONLY public.trial ALTER COLUMN trial_id SET DEFAULT nextval('public.trial_trial_id_seq'::regclass);
INSERT INTO public.architecture VALUES ('f0', '{"input_shape":[1,8,8],"blocks":["f0"]}', 1370, 5888, 522, 10000000000, 2, '[1,8,8]');
INSERT INTO public.architecture VALUES ('f1', '{"input_shape":[1,8,8],"blocks":["f1"]}', 1370, 5888, 522, 10000000000, 2, '[1,8,8]');
INSERT INTO public.architecture VALUES ('f2', '{"input_shape":[1,8,8],"blocks":["f2"]}', 1370, 5888, 522, 10000000000, 2, '[1,8,8]');
INSERT INTO public.architecture VALUES ('f3', '{"input_shape":[1,8,8],"blocks":["f3"]}', 1370, 5888, 522, 10000000000, 2, '[1,8,8]');
INSERT INTO public.architecture VALUES ('f4', '{"input_shape":[1,8,8],"blocks":["f4"]}', 1370, 5888, 522, 10000000000, 2, '[1,8,8]');
INSERT INTO public.artifact VALUES (1, 1, 'best', 'finished/1.safetensors', 10, 'aa', '2026-11-30 03:18:19.716759');
INSERT INTO public.artifact VALUES (2, 2, 'best', 'finished/2.safetensors', 10, 'aa', '2026-11-30 03:18:19.72823');
INSERT INTO public.artifact VALUES (3, 3, 'best', 'finished/3.safetensors', 10, 'aa', '2026-11-30 03:18:19.740592');
INSERT INTO public.attempt VALUES (1, 0, 'n', 'cpu', 4, '2026-11-30 03:18:19.705084', '2026-11-30 03:18:19.709342', '2026-11-30 03:18:19.711902', 'completed');
INSERT INTO public.attempt VALUES (2, 0, 'n', 'cpu', 4, '2026-11-30 03:18:19.724661', '2026-11-30 03:18:19.726049', '2026-11-30 03:18:19.727308', 'completed');
INSERT INTO public.attempt VALUES (3, 0, 'n', 'cpu', 4, '2026-11-30 03:18:19.737659', '2026-11-30 03:18:19.73876', '2026-11-30 03:18:19.739947', 'stopped_early');
INSERT INTO public.attempt VALUES (4, 0, NULL, NULL, NULL, '2026-11-30 03:18:19.748656', '2026-11-30 03:18:19.749863', '2026-11-30 03:18:19.75039', 'failed');
INSERT INTO public.attempt VALUES (5, 0, NULL, NULL, NULL, '2026-11-30 03:18:19.772758', '2026-11-30 03:18:19.772758', NULL, NULL);
INSERT INTO public.dataset VALUES ('d1', 'digits', 1000, 300, 497, 10, NULL, NULL, NULL);
INSERT INTO public.event VALUES (1, 1, 4, '2026-11-30 03:18:19.751548', 'warning', 'diverged', '{"reason":"nan"}');
INSERT INTO public.layer VALUES ('f0', 0, 'conv', 'conv', '[8,8,8]', 80, 4608, 512);
INSERT INTO public.layer VALUES ('f0', 1, 'fc', 'linear', '[10]', 1290, 1280, 10);
INSERT INTO public.layer VALUES ('f1', 0, 'conv', 'conv', '[8,8,8]', 80, 4608, 512);
INSERT INTO public.layer VALUES ('f1', 1, 'fc', 'linear', '[10]', 1290, 1280, 10);
INSERT INTO public.layer VALUES ('f2', 0, 'conv', 'conv', '[8,8,8]', 80, 4608, 512);
INSERT INTO public.layer VALUES ('f2', 1, 'fc', 'linear', '[10]', 1290, 1280, 10);
INSERT INTO public.layer VALUES ('f3', 0, 'conv', 'conv', '[8,8,8]', 80, 4608, 512);
INSERT INTO public.layer VALUES ('f3', 1, 'fc', 'linear', '[10]', 1290, 1280, 10);
INSERT INTO public.layer VALUES ('f4', 0, 'conv', 'conv', '[8,8,8]', 80, 4608, 512);
INSERT INTO public.layer VALUES ('f4', 1, 'fc', 'linear', '[10]', 1290, 1280, 10);
INSERT INTO public.measurement VALUES (1, 1, 2, 'f1', 'cpu', 'm', '2', 'fp32', 1, 1, 3, 9, 0.5, 0.75, NULL, 0.4, '2026-11-30 03:18:19.753958');
INSERT INTO public.meta VALUES ('application', 'archsieve');
INSERT INTO public.meta VALUES ('schema_version', '3');
INSERT INTO public.metric VALUES (1, 'val_accuracy', 1, 0.25, NULL);
INSERT INTO public.metric VALUES (1, 'val_loss', 1, 1, NULL);
INSERT INTO public.metric VALUES (1, 'val_accuracy', 2, 0.5, NULL);
INSERT INTO public.metric VALUES (1, 'val_loss', 2, 0.5, NULL);
INSERT INTO public.metric VALUES (2, 'val_accuracy', 1, 0.45, NULL);
INSERT INTO public.metric VALUES (2, 'val_loss', 1, 1, NULL);
INSERT INTO public.metric VALUES (2, 'val_accuracy', 2, 0.9, NULL);
INSERT INTO public.metric VALUES (2, 'val_loss', 2, 0.5, NULL);
INSERT INTO public.metric VALUES (3, 'val_accuracy', 1, 0.375, NULL);
INSERT INTO public.metric VALUES (3, 'val_loss', 1, 1, NULL);
INSERT INTO public.metric VALUES (3, 'val_accuracy', 2, 0.75, NULL);
INSERT INTO public.metric VALUES (3, 'val_loss', 2, 0.5, NULL);
INSERT INTO public.metric VALUES (4, 'val_loss', 1, NULL, 'nan');
INSERT INTO public.metric VALUES (4, 'train_loss', 1, NULL, '+inf');
INSERT INTO public.metric VALUES (7, 'val_accuracy', 1, 0.45, NULL);
INSERT INTO public.metric VALUES (7, 'val_loss', 1, 1, NULL);
INSERT INTO public.metric VALUES (7, 'val_accuracy', 2, 0.9, NULL);
INSERT INTO public.metric VALUES (7, 'val_loss', 2, 0.5, NULL);
INSERT INTO public.process VALUES (1, 1, 'old', 1, 'b', '["archsieve","search"]', NULL, NULL, '{"archsieve":"0"}', NULL, NULL, '2026-11-30 03:18:19.68353', '2026-11-30 03:18:19.68353', '2026-11-30 03:18:19.761839', 'finished');
INSERT INTO public.process VALUES (2, 2, 'old', 1, 'b', '["archsieve","search"]', NULL, NULL, '{"archsieve":"0"}', NULL, '{"weather":"fine"}', '2026-11-30 03:18:19.767311', '2026-11-30 03:18:19.767311', NULL, NULL);
INSERT INTO public.process VALUES (3, 3, 'old', 1, 'b', '["archsieve","search"]', NULL, NULL, '{"archsieve":"0"}', NULL, NULL, '2026-11-30 03:18:19.781871', '2026-11-30 03:18:19.781871', '2026-11-30 03:18:19.80393', 'finished');
INSERT INTO public.proxy_score VALUES (1, 'f1', 'synflow', 2.5, NULL);
INSERT INTO public.proxy_score VALUES (1, 'f1', 'naswot', NULL, 'no such layer');
INSERT INTO public.proxy_score VALUES (3, 'f1', 'naswot', NULL, 'no such layer');
INSERT INTO public.proxy_score VALUES (3, 'f1', 'synflow', 2.5, NULL);
INSERT INTO public.run VALUES (1, 'finished', 'finished', '{"budget":{"params":"60k"},"search":{"trials":5}}', 'random', 3, 'd1', '0', '2026-11-30 03:18:19.67606', '2026-11-30 03:18:19.763611');
INSERT INTO public.run VALUES (2, 'killed', 'running', '{"budget":{"params":"60k"},"search":{"trials":5}}', 'tpe', 4, 'd1', '0', '2026-11-30 03:18:19.764342', NULL);
INSERT INTO public.run VALUES (3, 'linked', 'finished', '{"budget":{"params":"60k"},"search":{"trials":5}}', 'tpe', 5, 'd1', '0', '2026-11-30 03:18:19.780244', '2026-11-30 03:18:19.804238');
INSERT INTO public.trial VALUES (1, 1, 0, 'completed', 'f0', '{"stage.width":1}', '{"lr":0.1,"epochs":2}', 5, 1370, 5888, 522, 10000000000, 2, 2, 0.5, NULL, NULL, NULL, 0.25, NULL, NULL, NULL, '2026-11-30 03:18:19.68491', '2026-11-30 03:18:19.705084', '2026-11-30 03:18:19.712174', 'cpu', 0.006818, NULL);
INSERT INTO public.trial VALUES (3, 1, 2, 'stopped_early', 'f2', '{"stage.width":1}', '{"lr":0.1,"epochs":2}', 5, 1370, 5888, 522, 10000000000, 2, 2, 0.75, NULL, NULL, NULL, 0.25, NULL, NULL, NULL, '2026-11-30 03:18:19.733569', '2026-11-30 03:18:19.737659', '2026-11-30 03:18:19.740121', 'cpu', 0.002288, NULL);
INSERT INTO public.trial VALUES (4, 1, 3, 'failed', 'f3', '{"stage.width":1}', '{"lr":0.1,"epochs":2}', 5, 1370, 5888, 522, 10000000000, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'diverged', 'losses must stay finite; it''s ü', '2026-11-30 03:18:19.741067', '2026-11-30 03:18:19.748656', '2026-11-30 03:18:19.750646', NULL, 0.001734, NULL);
INSERT INTO public.trial VALUES (2, 1, 1, 'completed', 'f1', '{"stage.width":1}', '{"lr":0.1,"epochs":2}', 5, 1370, 5888, 522, 10000000000, 2, 2, 0.9, NULL, NULL, NULL, 0.25, 0.5, NULL, NULL, '2026-11-30 03:18:19.718951', '2026-11-30 03:18:19.724661', '2026-11-30 03:18:19.727662', 'cpu', 0.002647, NULL);
INSERT INTO public.trial VALUES (5, 2, 0, 'running', 'f0', '{"stage.width":1}', '{"lr":0.1,"epochs":2}', 5, 1370, 5888, 522, 10000000000, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-30 03:18:19.769688', '2026-11-30 03:18:19.772758', NULL, NULL, NULL, NULL);
INSERT INTO public.trial VALUES (6, 2, 1, 'queued', 'f4', '{"stage.width":1}', '{"lr":0.1,"epochs":2}', 5, 1370, 5888, 522, 10000000000, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-30 03:18:19.777546', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.trial VALUES (7, 3, 0, 'completed', 'f1', '{"stage.width":1}', '{"lr":0.1,"epochs":2}', 5, 1370, 5888, 522, 10000000000, 2, 2, 0.9, NULL, NULL, NULL, 0.25, NULL, NULL, 'trained in run ''finished'' as trial 2', '2026-11-30 03:18:19.782448', '2026-11-30 03:18:19.788032', '2026-11-30 03:18:19.788032', 'cpu', 0, 2);
SELECT pg_catalog.setval('public.artifact_artifact_id_seq', 3, true);
SELECT pg_catalog.setval('public.event_event_id_seq', 1, true);
SELECT pg_catalog.setval('public.measurement_measurement_id_seq', 1, true);
SELECT pg_catalog.setval('public.process_process_id_seq', 3, true);
SELECT pg_catalog.setval('public.run_run_id_seq', 3, true);
SELECT pg_catalog.setval('public.trial_trial_id_seq', 7, true);
ALTER TABLE ONLY public.architecture
    ADD CONSTRAINT architecture_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY public.artifact
    ADD CONSTRAINT artifact_pkey PRIMARY KEY (artifact_id);
ALTER TABLE ONLY public.artifact
    ADD CONSTRAINT artifact_trial_id_kind_uri_key UNIQUE (trial_id, kind, uri);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (trial_id, attempt);
ALTER TABLE ONLY public.dataset
    ADD CONSTRAINT dataset_pkey PRIMARY KEY (content_hash);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (event_id);
ALTER TABLE ONLY public.layer
    ADD CONSTRAINT layer_pkey PRIMARY KEY (fingerprint, idx);
ALTER TABLE ONLY public.measurement
    ADD CONSTRAINT measurement_pkey PRIMARY KEY (measurement_id);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.metric
    ADD CONSTRAINT metric_pkey PRIMARY KEY (trial_id, name, step);
ALTER TABLE ONLY public.process
    ADD CONSTRAINT process_pkey PRIMARY KEY (process_id);
ALTER TABLE ONLY public.proxy_score
    ADD CONSTRAINT proxy_score_pkey PRIMARY KEY (run_id, fingerprint, name);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_name_key UNIQUE (name);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_pkey PRIMARY KEY (trial_id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_run_id_number_key UNIQUE (run_id, number);
CREATE INDEX event_of_run ON public.event USING btree (run_id, at);
CREATE INDEX measurement_of_run ON public.measurement USING btree (run_id, trial_id);
CREATE UNIQUE INDEX process_lease ON public.process USING btree (run_id) WHERE (ended_at IS NULL);
CREATE INDEX trial_fingerprint ON public.trial USING btree (fingerprint);
CREATE INDEX trial_merit ON public.trial USING btree (val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes, latency_ms) WHERE (val_accuracy IS NOT NULL);
CREATE INDEX trial_merit_in_run ON public.trial USING btree (run_id, val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes, latency_ms) WHERE (val_accuracy IS NOT NULL);
CREATE INDEX trial_scan ON public.trial USING btree (run_id, trial_id, state, params, macs, val_accuracy, epochs_done, number, activations, memory_bytes, latency_ms, val_loss, train_accuracy, train_loss, best_epoch, duration_s, seed, fail_kind, device, source_trial_id, created_at, started_at, ended_at, fingerprint);
ALTER TABLE ONLY public.artifact
    ADD CONSTRAINT artifact_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(trial_id);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(trial_id);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(run_id);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(trial_id);
ALTER TABLE ONLY public.layer
    ADD CONSTRAINT layer_fingerprint_fkey FOREIGN KEY (fingerprint) REFERENCES public.architecture(fingerprint);
ALTER TABLE ONLY public.measurement
    ADD CONSTRAINT measurement_fingerprint_fkey FOREIGN KEY (fingerprint) REFERENCES public.architecture(fingerprint);
ALTER TABLE ONLY public.measurement
    ADD CONSTRAINT measurement_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(run_id);
ALTER TABLE ONLY public.measurement
    ADD CONSTRAINT measurement_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(trial_id);
ALTER TABLE ONLY public.metric
    ADD CONSTRAINT metric_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(trial_id);
ALTER TABLE ONLY public.process
    ADD CONSTRAINT process_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(run_id);
ALTER TABLE ONLY public.proxy_score
    ADD CONSTRAINT proxy_score_fingerprint_fkey FOREIGN KEY (fingerprint) REFERENCES public.architecture(fingerprint);
ALTER TABLE ONLY public.proxy_score
    ADD CONSTRAINT proxy_score_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(run_id);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_dataset_hash_fkey FOREIGN KEY (dataset_hash) REFERENCES public.dataset(content_hash);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_fingerprint_fkey FOREIGN KEY (fingerprint) REFERENCES public.architecture(fingerprint);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(run_id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_source_trial_id_fkey FOREIGN KEY (source_trial_id) REFERENCES public.trial(trial_id);
