PRAGMA application_id = 1098007382;
BEGIN TRANSACTION;
CREATE TABLE architecture (
	fingerprint VARCHAR NOT NULL, 
	json JSON NOT NULL, 
	params BIGINT NOT NULL, 
	macs BIGINT NOT NULL, 
	activations BIGINT NOT NULL, 
	memory_bytes BIGINT NOT NULL, 
	depth INTEGER, 
	input_shape JSON, 
	PRIMARY KEY (fingerprint)
);
INSERT INTO "architecture" VALUES('f0','{"input_shape":[1,8,8],"blocks":["f0"]}',1370,5888,522,10000000000,2,'[1,8,8]');
INSERT INTO "architecture" VALUES('f1','{"input_shape":[1,8,8],"blocks":["f1"]}',1370,5888,522,10000000000,2,'[1,8,8]');
INSERT INTO "architecture" VALUES('f2','{"input_shape":[1,8,8],"blocks":["f2"]}',1370,5888,522,10000000000,2,'[1,8,8]');
INSERT INTO "architecture" VALUES('f3','{"input_shape":[1,8,8],"blocks":["f3"]}',1370,5888,522,10000000000,2,'[1,8,8]');
INSERT INTO "architecture" VALUES('f4','{"input_shape":[1,8,8],"blocks":["f4"]}',1370,5888,522,10000000000,2,'[1,8,8]');
CREATE TABLE artifact (
	artifact_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	uri VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (artifact_id), 
	UNIQUE (trial_id, kind, uri), 
	FOREIGN KEY(trial_id) REFERENCES trial (trial_id)
);
INSERT INTO "artifact" VALUES(1,1,'best','finished/1.safetensors',10,'aa','2026-11-30 03:18:02.028535');
INSERT INTO "artifact" VALUES(2,2,'best','finished/2.safetensors',10,'aa','2026-11-30 03:18:02.043053');
INSERT INTO "artifact" VALUES(3,3,'best','finished/3.safetensors',10,'aa','2026-11-30 03:18:02.043999');
CREATE TABLE attempt (
	trial_id INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	node VARCHAR, 
	device VARCHAR, 
	pid INTEGER, 
	started_at DATETIME NOT NULL, 
	heartbeat_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	outcome VARCHAR, 
	PRIMARY KEY (trial_id, attempt), 
	FOREIGN KEY(trial_id) REFERENCES trial (trial_id)
);
INSERT INTO "attempt" VALUES(1,0,'n','cpu',4,'2026-11-30 03:18:02.021223','2026-11-30 03:18:02.027324','2026-11-30 03:18:02.027692','completed');
INSERT INTO "attempt" VALUES(2,0,'n','cpu',4,'2026-11-30 03:18:02.042678','2026-11-30 03:18:02.042821','2026-11-30 03:18:02.042935','completed');
INSERT INTO "attempt" VALUES(3,0,'n','cpu',4,'2026-11-30 03:18:02.043701','2026-11-30 03:18:02.043806','2026-11-30 03:18:02.043906','stopped_early');
INSERT INTO "attempt" VALUES(4,0,NULL,NULL,NULL,'2026-11-30 03:18:02.044498','2026-11-30 03:18:02.044581','2026-11-30 03:18:02.044645','failed');
INSERT INTO "attempt" VALUES(5,0,NULL,NULL,NULL,'2026-11-30 03:18:02.075302','2026-11-30 03:18:02.075302',NULL,NULL);
CREATE TABLE dataset (
	content_hash VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	n_train INTEGER, 
	n_val INTEGER, 
	n_test INTEGER, 
	n_classes INTEGER, 
	class_names JSON, 
	input_shape JSON, 
	split_seed BIGINT, 
	PRIMARY KEY (content_hash)
);
INSERT INTO "dataset" VALUES('d1','digits',1000,300,497,10,NULL,NULL,NULL);
CREATE TABLE event (
	event_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	at DATETIME NOT NULL, 
	level VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	detail JSON NOT NULL, 
	PRIMARY KEY (event_id), 
	FOREIGN KEY(run_id) REFERENCES run (run_id), 
	FOREIGN KEY(trial_id) REFERENCES trial (trial_id)
);
INSERT INTO "event" VALUES(1,1,4,'2026-11-30 03:18:02.045115','warning','diverged','{"reason":"nan"}');
CREATE TABLE layer (
	fingerprint VARCHAR NOT NULL, 
	idx INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	out_shape JSON NOT NULL, 
	params BIGINT NOT NULL, 
	macs BIGINT NOT NULL, 
	activations BIGINT NOT NULL, 
	PRIMARY KEY (fingerprint, idx), 
	FOREIGN KEY(fingerprint) REFERENCES architecture (fingerprint)
);
INSERT INTO "layer" VALUES('f0',0,'conv','conv','[8,8,8]',80,4608,512);
INSERT INTO "layer" VALUES('f0',1,'fc','linear','[10]',1290,1280,10);
INSERT INTO "layer" VALUES('f1',0,'conv','conv','[8,8,8]',80,4608,512);
INSERT INTO "layer" VALUES('f1',1,'fc','linear','[10]',1290,1280,10);
INSERT INTO "layer" VALUES('f2',0,'conv','conv','[8,8,8]',80,4608,512);
INSERT INTO "layer" VALUES('f2',1,'fc','linear','[10]',1290,1280,10);
INSERT INTO "layer" VALUES('f3',0,'conv','conv','[8,8,8]',80,4608,512);
INSERT INTO "layer" VALUES('f3',1,'fc','linear','[10]',1290,1280,10);
INSERT INTO "layer" VALUES('f4',0,'conv','conv','[8,8,8]',80,4608,512);
INSERT INTO "layer" VALUES('f4',1,'fc','linear','[10]',1290,1280,10);
CREATE TABLE measurement (
	measurement_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	fingerprint VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	machine VARCHAR NOT NULL, 
	torch VARCHAR NOT NULL, 
	precision VARCHAR NOT NULL, 
	batch_size INTEGER NOT NULL, 
	threads INTEGER NOT NULL, 
	warmup INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	latency_ms_p50 FLOAT NOT NULL, 
	latency_ms_p90 FLOAT NOT NULL, 
	peak_memory_bytes BIGINT, 
	predicted_ms FLOAT, 
	measured_at DATETIME NOT NULL, 
	PRIMARY KEY (measurement_id), 
	FOREIGN KEY(run_id) REFERENCES run (run_id), 
	FOREIGN KEY(trial_id) REFERENCES trial (trial_id), 
	FOREIGN KEY(fingerprint) REFERENCES architecture (fingerprint)
);
INSERT INTO "measurement" VALUES(1,1,2,'f1','cpu','m','2','fp32',1,1,3,9,0.5,0.75,NULL,0.4,'2026-11-30 03:18:02.049819');
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('application','archsieve');
INSERT INTO "meta" VALUES('schema_version','3');
CREATE TABLE metric (
	trial_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	step INTEGER NOT NULL, 
	value FLOAT, 
	special VARCHAR, 
	PRIMARY KEY (trial_id, name, step), 
	CONSTRAINT metric_value_or_special CHECK ((value IS NULL) = (special IS NOT NULL)), 
	CONSTRAINT metric_special CHECK (special IN ('nan', '+inf', '-inf')), 
	FOREIGN KEY(trial_id) REFERENCES trial (trial_id)
)
 WITHOUT ROWID

;
INSERT INTO "metric" VALUES(1,'val_accuracy',1,0.25,NULL);
INSERT INTO "metric" VALUES(1,'val_accuracy',2,0.5,NULL);
INSERT INTO "metric" VALUES(1,'val_loss',1,1.0,NULL);
INSERT INTO "metric" VALUES(1,'val_loss',2,0.5,NULL);
INSERT INTO "metric" VALUES(2,'val_accuracy',1,0.45,NULL);
INSERT INTO "metric" VALUES(2,'val_accuracy',2,0.9,NULL);
INSERT INTO "metric" VALUES(2,'val_loss',1,1.0,NULL);
INSERT INTO "metric" VALUES(2,'val_loss',2,0.5,NULL);
INSERT INTO "metric" VALUES(3,'val_accuracy',1,0.375,NULL);
INSERT INTO "metric" VALUES(3,'val_accuracy',2,0.75,NULL);
INSERT INTO "metric" VALUES(3,'val_loss',1,1.0,NULL);
INSERT INTO "metric" VALUES(3,'val_loss',2,0.5,NULL);
INSERT INTO "metric" VALUES(4,'train_loss',1,NULL,'+inf');
INSERT INTO "metric" VALUES(4,'val_loss',1,NULL,'nan');
INSERT INTO "metric" VALUES(7,'val_accuracy',1,0.45,NULL);
INSERT INTO "metric" VALUES(7,'val_accuracy',2,0.9,NULL);
INSERT INTO "metric" VALUES(7,'val_loss',1,1.0,NULL);
INSERT INTO "metric" VALUES(7,'val_loss',2,0.5,NULL);
CREATE TABLE process (
	process_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	host VARCHAR, 
	pid INTEGER, 
	boot_id VARCHAR, 
	argv JSON, 
	git_commit VARCHAR, 
	git_dirty BOOLEAN, 
	versions JSON, 
	devices JSON, 
	other JSON, 
	started_at DATETIME NOT NULL, 
	heartbeat_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	end_reason VARCHAR, 
	PRIMARY KEY (process_id), 
	FOREIGN KEY(run_id) REFERENCES run (run_id)
);
INSERT INTO "process" VALUES(1,1,'old',1,'b','["archsieve","search"]',NULL,NULL,'{"archsieve":"0"}',NULL,NULL,'2026-11-30 03:18:01.996184','2026-11-30 03:18:01.996184','2026-11-30 03:18:02.060166','finished');
INSERT INTO "process" VALUES(2,2,'old',1,'b','["archsieve","search"]',NULL,NULL,'{"archsieve":"0"}',NULL,'{"weather":"fine"}','2026-11-30 03:18:02.074035','2026-11-30 03:18:02.074035',NULL,NULL);
INSERT INTO "process" VALUES(3,3,'old',1,'b','["archsieve","search"]',NULL,NULL,'{"archsieve":"0"}',NULL,NULL,'2026-11-30 03:18:02.076328','2026-11-30 03:18:02.076328','2026-11-30 03:18:02.100463','finished');
CREATE TABLE proxy_score (
	run_id INTEGER NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	value FLOAT, 
	reason VARCHAR, 
	PRIMARY KEY (run_id, fingerprint, name), 
	CONSTRAINT proxy_value_or_reason CHECK ((value IS NULL) = (reason IS NOT NULL)), 
	FOREIGN KEY(run_id) REFERENCES run (run_id), 
	FOREIGN KEY(fingerprint) REFERENCES architecture (fingerprint)
)
 WITHOUT ROWID

;
INSERT INTO "proxy_score" VALUES(1,'f1','naswot',NULL,'no such layer');
INSERT INTO "proxy_score" VALUES(1,'f1','synflow',2.5,NULL);
INSERT INTO "proxy_score" VALUES(3,'f1','naswot',NULL,'no such layer');
INSERT INTO "proxy_score" VALUES(3,'f1','synflow',2.5,NULL);
CREATE TABLE run (
	run_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	config JSON NOT NULL, 
	searcher VARCHAR NOT NULL, 
	seed BIGINT NOT NULL, 
	dataset_hash VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	PRIMARY KEY (run_id), 
	UNIQUE (name), 
	FOREIGN KEY(dataset_hash) REFERENCES dataset (content_hash)
);
INSERT INTO "run" VALUES(1,'finished','finished','{"budget":{"params":"60k"},"search":{"trials":5}}','random',3,'d1','0','2026-11-30 03:18:01.984771','2026-11-30 03:18:02.063972');
INSERT INTO "run" VALUES(2,'killed','running','{"budget":{"params":"60k"},"search":{"trials":5}}','tpe',4,'d1','0','2026-11-30 03:18:02.064811',NULL);
INSERT INTO "run" VALUES(3,'linked','finished','{"budget":{"params":"60k"},"search":{"trials":5}}','tpe',5,'d1','0','2026-11-30 03:18:02.075628','2026-11-30 03:18:02.100617');
CREATE TABLE trial (
	trial_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	choices JSON NOT NULL, 
	recipe JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	params BIGINT NOT NULL, 
	macs BIGINT NOT NULL, 
	activations BIGINT NOT NULL, 
	memory_bytes BIGINT NOT NULL, 
	epochs_done INTEGER NOT NULL, 
	best_epoch INTEGER, 
	val_accuracy FLOAT, 
	val_loss FLOAT, 
	train_accuracy FLOAT, 
	train_loss FLOAT, 
	test_accuracy FLOAT, 
	latency_ms FLOAT, 
	fail_kind VARCHAR, 
	reason VARCHAR, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, 
	device VARCHAR, 
	duration_s FLOAT, 
	source_trial_id INTEGER, 
	PRIMARY KEY (trial_id), 
	UNIQUE (run_id, number), 
	CONSTRAINT trial_state CHECK (state IN ('queued', 'running', 'completed', 'stopped_early', 'failed', 'interrupted')), 
	FOREIGN KEY(run_id) REFERENCES run (run_id), 
	FOREIGN KEY(fingerprint) REFERENCES architecture (fingerprint), 
	FOREIGN KEY(source_trial_id) REFERENCES trial (trial_id)
);
INSERT INTO "trial" VALUES(1,1,0,'completed','f0','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,2,2,0.5,NULL,NULL,NULL,0.25,NULL,NULL,NULL,'2026-11-30 03:18:02.005103','2026-11-30 03:18:02.021223','2026-11-30 03:18:02.027706','cpu',0.006469,NULL);
INSERT INTO "trial" VALUES(2,1,1,'completed','f1','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,2,2,0.9,NULL,NULL,NULL,0.25,0.5,NULL,NULL,'2026-11-30 03:18:02.042133','2026-11-30 03:18:02.042678','2026-11-30 03:18:02.042946','cpu',0.000257,NULL);
INSERT INTO "trial" VALUES(3,1,2,'stopped_early','f2','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,2,2,0.75,NULL,NULL,NULL,0.25,NULL,NULL,NULL,'2026-11-30 03:18:02.043389','2026-11-30 03:18:02.043701','2026-11-30 03:18:02.043914','cpu',0.000205,NULL);
INSERT INTO "trial" VALUES(4,1,3,'failed','f3','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'diverged','losses must stay finite; it''s ü','2026-11-30 03:18:02.044254','2026-11-30 03:18:02.044498','2026-11-30 03:18:02.044652',NULL,0.000147,NULL);
INSERT INTO "trial" VALUES(5,2,0,'running','f0','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-30 03:18:02.074846','2026-11-30 03:18:02.075302',NULL,NULL,NULL,NULL);
INSERT INTO "trial" VALUES(6,2,1,'queued','f4','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-30 03:18:02.075388',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "trial" VALUES(7,3,0,'completed','f1','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,2,2,0.9,NULL,NULL,NULL,0.25,NULL,NULL,'trained in run ''finished'' as trial 2','2026-11-30 03:18:02.076751','2026-11-30 03:18:02.083771','2026-11-30 03:18:02.083771','cpu',0.0,2);
CREATE UNIQUE INDEX process_lease ON process (run_id) WHERE ended_at IS NULL;
CREATE INDEX trial_fingerprint ON trial (fingerprint);
CREATE INDEX trial_merit ON trial (val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes, latency_ms) WHERE val_accuracy IS NOT NULL;
CREATE INDEX trial_merit_in_run ON trial (run_id, val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes, latency_ms) WHERE val_accuracy IS NOT NULL;
CREATE INDEX trial_scan ON trial (run_id, trial_id, state, params, macs, val_accuracy, epochs_done, number, activations, memory_bytes, latency_ms, val_loss, train_accuracy, train_loss, best_epoch, duration_s, seed, fail_kind, device, source_trial_id, created_at, started_at, ended_at, fingerprint);
CREATE INDEX event_of_run ON event (run_id, at);
CREATE INDEX measurement_of_run ON measurement (run_id, trial_id);
COMMIT;
