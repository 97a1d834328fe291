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
INSERT INTO "artifact" VALUES(1,1,'best','finished/1.safetensors',10,'aa','2026-11-24 13:46:42.765430');
INSERT INTO "artifact" VALUES(2,2,'best','finished/2.safetensors',10,'aa','2026-11-24 13:46:42.772293');
INSERT INTO "artifact" VALUES(3,3,'best','finished/3.safetensors',10,'aa','2026-11-24 13:46:42.778125');
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
INSERT INTO "attempt" VALUES(1,0,'n','cpu',4,'2026-11-24 13:46:42.759016','2026-11-24 13:46:42.763322','2026-11-24 13:46:42.763782','completed');
INSERT INTO "attempt" VALUES(2,0,'n','cpu',4,'2026-11-24 13:46:42.768878','2026-11-24 13:46:42.771246','2026-11-24 13:46:42.771654','completed');
INSERT INTO "attempt" VALUES(3,0,'n','cpu',4,'2026-11-24 13:46:42.774827','2026-11-24 13:46:42.776988','2026-11-24 13:46:42.777457','stopped_early');
INSERT INTO "attempt" VALUES(4,0,NULL,NULL,NULL,'2026-11-24 13:46:42.780649','2026-11-24 13:46:42.781862','2026-11-24 13:46:42.782266','failed');
INSERT INTO "attempt" VALUES(5,0,NULL,NULL,NULL,'2026-11-24 13:46:42.788785','2026-11-24 13:46:42.788785',NULL,NULL);
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
INSERT INTO "event" VALUES(1,1,4,'2026-11-24 13:46:42.783281','warning','diverged','{"reason":"nan"}');
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
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('application','archsieve');
INSERT INTO "meta" VALUES('schema_version','1');
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
INSERT INTO "process" VALUES(1,1,'old',1,'b','["archsieve","search"]',NULL,NULL,'{"archsieve":"0"}',NULL,NULL,'2026-11-24 13:46:42.749437','2026-11-24 13:46:42.749437','2026-11-24 13:46:42.784672','finished');
INSERT INTO "process" VALUES(2,2,'old',1,'b','["archsieve","search"]',NULL,NULL,'{"archsieve":"0"}',NULL,'{"weather":"fine"}','2026-11-24 13:46:42.786556','2026-11-24 13:46:42.786556',NULL,NULL);
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
INSERT INTO "run" VALUES(1,'finished','finished','{"budget":{"params":"60k"},"search":{"trials":5}}','random',3,'d1','0','2026-11-24 13:46:42.745745','2026-11-24 13:46:42.785136');
INSERT INTO "run" VALUES(2,'killed','running','{"budget":{"params":"60k"},"search":{"trials":5}}','tpe',4,'d1','0','2026-11-24 13:46:42.785730',NULL);
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
	fail_kind VARCHAR, 
	reason VARCHAR, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, 
	device VARCHAR, 
	duration_s FLOAT, 
	PRIMARY KEY (trial_id), 
	UNIQUE (run_id, number), 
	CONSTRAINT trial_state CHECK (state IN ('queued', 'running', 'completed', 'stopped_early', 'failed', 'interrupted')), 
	FOREIGN KEY(run_id) REFERENCES run (run_id), 
	FOREIGN KEY(fingerprint) REFERENCES architecture (fingerprint)
);
INSERT INTO "trial" VALUES(1,1,0,'completed','f0','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,2,2,0.5,NULL,NULL,NULL,0.25,NULL,NULL,'2026-11-24 13:46:42.753357','2026-11-24 13:46:42.759016','2026-11-24 13:46:42.764226','cpu',0.004766);
INSERT INTO "trial" VALUES(2,1,1,'completed','f1','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,2,2,0.9,NULL,NULL,NULL,0.25,NULL,NULL,'2026-11-24 13:46:42.767593','2026-11-24 13:46:42.768878','2026-11-24 13:46:42.771832','cpu',0.002776);
INSERT INTO "trial" VALUES(3,1,2,'stopped_early','f2','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,2,2,0.75,NULL,NULL,NULL,0.25,NULL,NULL,'2026-11-24 13:46:42.773617','2026-11-24 13:46:42.774827','2026-11-24 13:46:42.777649','cpu',0.00263);
INSERT INTO "trial" VALUES(4,1,3,'failed','f3','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,1,NULL,NULL,NULL,NULL,NULL,NULL,'diverged','losses must stay finite; it''s ü','2026-11-24 13:46:42.779469','2026-11-24 13:46:42.780649','2026-11-24 13:46:42.782447',NULL,0.001617);
INSERT INTO "trial" VALUES(5,2,0,'running','f0','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-24 13:46:42.787519','2026-11-24 13:46:42.788785',NULL,NULL,NULL);
INSERT INTO "trial" VALUES(6,2,1,'queued','f4','{"stage.width":1}','{"lr":0.1,"epochs":2}',5,1370,5888,522,10000000000,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-24 13:46:42.790021',NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX process_lease ON process (run_id) WHERE ended_at IS NULL;
CREATE INDEX trial_fingerprint ON trial (fingerprint);
CREATE INDEX trial_merit ON trial (val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes) WHERE val_accuracy IS NOT NULL;
CREATE INDEX trial_merit_in_run ON trial (run_id, val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes) WHERE val_accuracy IS NOT NULL;
CREATE INDEX event_of_run ON event (run_id, at);
COMMIT;
