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
INSERT INTO "architecture" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff','{"input_shape":[1,8,8],"blocks":[{"kind":"conv","width":8,"kernel":3,"stride":1,"padding":null,"groups":1,"norm":true,"act":"relu"},{"kind":"conv-pool","width":8,"kernel":3,"convs":1,"pool":"max","norm":true,"act":"relu"},{"kind":"inception","width":16,"branches":null,"reduce":true,"five":5,"double":false,"pool":"max","stride":1,"norm":true,"act":"relu"},{"kind":"pool","kernel":2,"stride":null,"padding":0,"mode":"max","ceil":false},{"kind":"global-average"}],"classes":10}',1482,51008,1402,1064824,9,'[1,8,8]');
INSERT INTO "architecture" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5','{"input_shape":[1,8,8],"blocks":[{"kind":"conv","width":4,"kernel":3,"stride":1,"padding":null,"groups":1,"norm":true,"act":"relu"},{"kind":"residual","width":12,"form":"basic","stride":2,"shortcut":"B","preactivation":false,"stride_first":false,"norm":true,"act":"relu"},{"kind":"inception","width":8,"branches":null,"reduce":true,"five":5,"double":false,"pool":"max","stride":1,"norm":true,"act":"relu"},{"kind":"pool","kernel":2,"stride":null,"padding":0,"mode":"max","ceil":false},{"kind":"global-average"}],"classes":10}',2223,34272,1034,727604,11,'[1,8,8]');
INSERT INTO "architecture" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d','{"input_shape":[1,8,8],"blocks":[{"kind":"conv","width":4,"kernel":3,"stride":1,"padding":null,"groups":1,"norm":true,"act":"relu"},{"kind":"residual","width":8,"form":"basic","stride":2,"shortcut":"B","preactivation":false,"stride_first":false,"norm":true,"act":"relu"},{"kind":"inception","width":16,"branches":null,"reduce":true,"five":5,"double":false,"pool":"max","stride":1,"norm":true,"act":"relu"},{"kind":"pool","kernel":2,"stride":null,"padding":0,"mode":"max","ceil":false},{"kind":"global-average"}],"classes":10}',1790,26176,1018,740840,11,'[1,8,8]');
INSERT INTO "architecture" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca','{"input_shape":[1,8,8],"blocks":[{"kind":"conv","width":8,"kernel":3,"stride":1,"padding":null,"groups":1,"norm":true,"act":"relu"},{"kind":"residual","width":12,"form":"basic","stride":2,"shortcut":"B","preactivation":false,"stride_first":false,"norm":true,"act":"relu"},{"kind":"inception","width":16,"branches":null,"reduce":true,"five":5,"double":false,"pool":"max","stride":1,"norm":true,"act":"relu"},{"kind":"pool","kernel":2,"stride":null,"padding":0,"mode":"max","ceil":false},{"kind":"global-average"}],"classes":10}',3270,51072,1466,1020744,11,'[1,8,8]');
INSERT INTO "architecture" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe','{"input_shape":[1,32,32],"blocks":[{"kind":"conv-pool","width":12,"kernel":3,"convs":1,"pool":"max","norm":true,"act":"relu"},{"kind":"conv-pool","width":12,"kernel":3,"convs":1,"pool":"max","norm":true,"act":"relu"},{"kind":"global-average"}],"classes":16}',1660,442560,15376,22185424,3,'[1,32,32]');
INSERT INTO "architecture" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e','{"input_shape":[1,32,32],"blocks":[{"kind":"conv-pool","width":8,"kernel":3,"convs":1,"pool":"max","norm":true,"act":"relu"},{"kind":"conv-pool","width":16,"kernel":3,"convs":1,"pool":"max","norm":true,"act":"relu"},{"kind":"global-average"}],"classes":16}',1544,368896,12304,17860704,3,'[1,32,32]');
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
INSERT INTO "artifact" VALUES(1,5,'zero-shot-model','zero-shot/model-5.safetensors',34080,'dcbdf5720446deaea004f691731c61d23d488fb7cae1d23ff13224bb64a11f1e','2026-11-29 05:41:58.906667');
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
INSERT INTO "attempt" VALUES(2,0,'vm','cpu',10183,'2026-11-29 05:40:41.349916','2026-11-29 05:40:43.281328','2026-11-29 05:40:43.293034','completed');
INSERT INTO "attempt" VALUES(1,0,'vm','cpu',10184,'2026-11-29 05:40:42.451337','2026-11-29 05:40:43.145748','2026-11-29 05:40:43.327612','stopped_early');
INSERT INTO "attempt" VALUES(3,0,'vm','cpu',10183,'2026-11-29 05:40:43.428387','2026-11-29 05:40:44.095504','2026-11-29 05:40:44.864593','completed');
INSERT INTO "attempt" VALUES(4,0,'vm','cpu',10184,'2026-11-29 05:40:43.468344','2026-11-29 05:40:44.545834','2026-11-29 05:40:45.230207','completed');
INSERT INTO "attempt" VALUES(5,0,'vm','cpu',10711,'2026-11-29 05:41:30.271674','2026-11-29 05:41:31.248533','2026-11-29 05:41:31.735553','completed');
INSERT INTO "attempt" VALUES(6,0,'vm','cpu',10710,'2026-11-29 05:41:30.604058','2026-11-29 05:41:31.232239','2026-11-29 05:41:31.688910','completed');
INSERT INTO "attempt" VALUES(7,0,'vm','cpu',11586,'2026-11-29 05:42:51.738828','2026-11-29 05:42:52.038484','2026-11-29 05:42:52.038484','interrupted');
INSERT INTO "attempt" VALUES(8,0,NULL,NULL,NULL,'2026-11-29 05:42:51.858027','2026-11-29 05:42:51.858027','2026-11-29 05:42:51.858027','interrupted');
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
INSERT INTO "dataset" VALUES('4569a02e6f1e128c608c2985a3a75af9f24bf531f4233351e38cc8153e934baa','digits',180,60,60,10,'["0","1","2","3","4","5","6","7","8","9"]','[1,8,8]',0);
INSERT INTO "dataset" VALUES('290ef857b9850b7554987e179b3c029eff1522069c8167abf577dc491d5ada5f','glyphs',140,52,99,33,'["LATIN SMALL LETTER H","INVERTED EXCLAMATION MARK","LATIN SMALL LETTER C WITH DOT ABOVE","LATIN SMALL LETTER H WITH STROKE","LATIN SMALL LETTER G WITH ACUTE","LATIN LETTER SMALL CAPITAL Y","COMBINING DOWN TACK BELOW","COMBINING CARON BELOW","GREEK CAPITAL LETTER IOTA","GREEK KAPPA SYMBOL","GREEK SMALL LETTER SHO","CYRILLIC CAPITAL LETTER CHE","CYRILLIC CAPITAL LETTER EN WITH DESCENDER","CYRILLIC SMALL LETTER I WITH MACRON","ARMENIAN SMALL LETTER CHA","MODIFIER LETTER SMALL BARRED O","LATIN CAPITAL LETTER B WITH LINE BELOW","LATIN SMALL LETTER H WITH BREVE BELOW","LATIN SMALL LETTER L WITH LINE BELOW","LATIN CAPITAL LETTER S WITH DOT BELOW AND DOT ABOVE","LATIN CAPITAL LETTER T WITH CIRCUMFLEX BELOW","GREEK CAPITAL LETTER ETA WITH PSILI AND VARIA AND PROSGEGRAMMENI","GREEK CAPITAL LETTER ALPHA WITH PROSGEGRAMMENI","REVERSED PRIME","SUPERSCRIPT LEFT PARENTHESIS","LEFTWARDS WAVE ARROW","MINUS SIGN","SQUARE IMAGE OF OR EQUAL TO","CIRCLED RING OPERATOR","UPPER ONE EIGHTH BLOCK","WHITE LEFT-POINTING SMALL TRIANGLE","SQUARE WITH UPPER LEFT DIAGONAL HALF BLACK","BOTTOM RIGHT HALF BRACKET"]','[1,32,32]',0);
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
INSERT INTO "event" VALUES(1,1,2,'2026-11-29 05:40:43.287646','info','finding','{"finding":"underfit","reason":"accuracy is 0.539 in training and 0.367 in validation; train for longer, with another lr, with less regularisation, or a larger network"}');
INSERT INTO "event" VALUES(2,1,2,'2026-11-29 05:40:43.289683','info','finding','{"finding":"overfit","reason":"accuracy is 0.539 in training and 0.367 in validation, and the validation loss went from 1.7 to 1.7; augment, decay, drop out, or take a smaller network"}');
INSERT INTO "event" VALUES(3,1,1,'2026-11-29 05:40:43.325952','info','finding','{"finding":"underfit","reason":"accuracy is 0.267 in training and 0.1 in validation; train for longer, with another lr, with less regularisation, or a larger network"}');
INSERT INTO "event" VALUES(4,1,1,'2026-11-29 05:40:43.326735','info','finding','{"finding":"overfit","reason":"accuracy is 0.267 in training and 0.1 in validation, and the validation loss went from 2.55 to 2.55; augment, decay, drop out, or take a smaller network"}');
INSERT INTO "event" VALUES(5,1,3,'2026-11-29 05:40:44.863268','info','finding','{"finding":"underfit","reason":"accuracy is 0.444 in training and 0.317 in validation; train for longer, with another lr, with less regularisation, or a larger network"}');
INSERT INTO "event" VALUES(6,1,3,'2026-11-29 05:40:44.863926','info','finding','{"finding":"overfit","reason":"accuracy is 0.444 in training and 0.317 in validation, and the validation loss went from 1.85 to 1.85; augment, decay, drop out, or take a smaller network"}');
INSERT INTO "event" VALUES(7,1,4,'2026-11-29 05:40:45.229155','info','finding','{"finding":"overfit","reason":"accuracy is 0.85 in training and 0.617 in validation, and the validation loss went from 1.45 to 1.45; augment, decay, drop out, or take a smaller network"}');
INSERT INTO "event" VALUES(8,2,6,'2026-11-29 05:41:31.687184','info','finding','{"finding":"underfit","reason":"accuracy is 0.0786 in training and 0.0385 in validation; train for longer, with another lr, with less regularisation, or a larger network"}');
INSERT INTO "event" VALUES(9,2,5,'2026-11-29 05:41:31.734527','info','finding','{"finding":"underfit","reason":"accuracy is 0.0357 in training and 0.0769 in validation; train for longer, with another lr, with less regularisation, or a larger network"}');
INSERT INTO "event" VALUES(10,2,5,'2026-11-29 05:41:58.910058','info','zero_shot_explained','{"trial":5,"classes":[{"class":"CYRILLIC CAPITAL LETTER CHE","text":"CYRILLIC CAPITAL LETTER CHE","pr_auc":0.5074074074074074,"words":[{"word":"capital","drop":0.2462962962962963},{"word":"cyrillic","drop":0.0},{"word":"letter","drop":-0.020370370370370372}],"right":[{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAwUlEQVR42u2QOw4BYRhFjxlkComCSBQKLRWiV+jZgH3pbcASNKKbEYmCaHSim6AhXNW8/GM2wKluvu/kf1z4CXJRLNjweAIULbi/DHclaQLAWVLf2Ns3SW2AhqSHYwgtSTcbYCRpE4ytUOgC22eQXFPoAHsAeulCE7iGZ3nBOB8KNWC8OEGpDlqbjcwVY4d5xVQx24t+H6aDV9XF933fycNsmdH+QdIwY19+SapkCANJR1IeGZCoKU1I1PRNcPnzwRvxuVAcWP5ZsgAAAABJRU5ErkJggg=="},{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA6ElEQVR42u2QP05CQRyEPx4PSYgxWNDoJkBipCCGCFTGxsITkFB4Ak9i5SksOIKVB7BCLGkkJBAqaNgQiT6HhveHl8UL6FSTybezvwz8CWUikwfQGg48gK8gRXYlSSNgLknqpKsOzaOeTQkypiU1TG6b+yFgbZXXCaDJBbP36KEXdzR5C00fB3BcCfPLkNwF6iynjoZYba3zABSlsgvIDfRU84Abzd2bnfZWCqy1n3pJpH5sp3fZ8pEPD7d9NwDBB4Bx3xip8K3zX4ErLRPrJZeMBh387LsBOClcMz5bLPZ+MJQk3fOvlDb/tExStHk6HgAAAABJRU5ErkJggg=="},{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAvUlEQVR42mNgGBGAGZnDzvoXSv/7j02x8P//kgwMDAysP//rYjXN9f9zBgYGBgbD/99Z4IJMSAqMGM5B6ct/sCowhis4x4DDhPMoCtEB97//GgwMDAzM3/6bYlWg8v+/OAMDA4P5/98cCFEWlCBpX/xN2DWd4doPrCYwXfn//////////V+APST/b2T79eLG9joZxfkn8Yb+2/82eOUV/v/jZcAeDrDQuP2ZgAKUYMKm4Dz+FPL8vwvDKMAAAApnO4prPuLSAAAAAElFTkSuQmCC"}],"wrong":[{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABCklEQVR42t2TzStEcRSG3+bOwlxiUrc0i8lXyZSFvfI3kJTYKRu2yspWlJSlnSWrWVIWslLILJCm3I0y+ShXZAzd+9iYpDn9diyc1ek876nzKf1P66lw0e3guZC9rIO3n7GRdvCWw3j+VxsYLt7WwtWgChWTLyUAXAM7Fl8AtvLBNsCywQvvcJKWOgAmDMEmMCVJEVBo5F4E+JK8D6h6jYJO4F6S8sDRdzxVd3xJkSSNSSoZJbQl8JqR/BCYs7rcB9azvbsAQ5Zg8AWAh2dIWs1BDhQfa+WVvhhOXfuYBBZdB3EJT4FFuo6n+zO5kXOIx83UWb7sbvTnhOtO+aop1fx2c7A2U/rrP/oEhaOMWEQ4JkgAAAAASUVORK5CYII="},{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA8ElEQVR42uWTPy8EARBHn0OjQJwKx0Z1jVgJOq1SR+NL+Aw+AlFrJZKLQnRKiYajuFBtclGIP8lGQ05ynkqykbkNlcJUk5mX38xkZuDf2Zza+B6sFPwUaP4aKNqpOlEGPOsDJSVqVbhcPLh/v9urhgJrarur6s1wpJACte2x5AzqW5FCQ90FVtTzCMj0YxaYVLOgxEgCFxkwDrwEQNoHbYBp4CoCgCeADeAoaGFfPQFm3rTVHwBNtbs5tNzS16UgP9jRPFc1X42GnFeP64ePnWxnqhgf+HIWgObteu9l9TqGyo+vJdecEoVkFK7/6Fk+AaSjZUkMGBJcAAAAAElFTkSuQmCC"},{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA4klEQVR42mNgGIGA8dNfDrwKVP/fQhdiQuEZMFzBr8CQkAIsJqCCZ/91cm/8vFfCiENe7P+v+f//////PwuHAvf//+77cstu+P8Ih4Ly/58UGBgYZP7/58HuSEOG2Q8YGBie/GPgxm7Cjf+KDAwMDML/f7Fglef++4yBgYGBwff/GezhoMf0hoGBgYEhk2ELdhsy/79jZWBgMPv3Qw67gln//82U4Al79b8Zhy9P/Wv///////9rmLHLM3+7x9j47OuZVFwBrf1/MxZRJuSovEpIwTX8CgyxmoAEXv/jGpisAgAZ6Ux7en5WhwAAAABJRU5ErkJggg=="}]},{"class":"MINUS SIGN","text":"MINUS SIGN","pr_auc":0.38690476190476186,"words":[],"right":[{"class":"MINUS SIGN","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAHklEQVR42mNgGAWjABtY8x8ZyMCEmQjpYxoNumEEAHlkDcBST0CtAAAAAElFTkSuQmCC"},{"class":"MINUS SIGN","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAJklEQVR42mNgGAWjAAEY4axmR2TxwNdQBgtcSNkEWQHbaNgNRwAAt10CY3RLcO0AAAAASUVORK5CYII="},{"class":"MINUS SIGN","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAG0lEQVR42mNgGAWjACvg+Y8APnBRptGAGUkAAJZ7C1D/jzTsAAAAAElFTkSuQmCC"}],"wrong":[{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAwUlEQVR42u2QOw4BYRhFjxlkComCSBQKLRWiV+jZgH3pbcASNKKbEYmCaHSim6AhXNW8/GM2wKluvu/kf1z4CXJRLNjweAIULbi/DHclaQLAWVLf2Ns3SW2AhqSHYwgtSTcbYCRpE4ytUOgC22eQXFPoAHsAeulCE7iGZ3nBOB8KNWC8OEGpDlqbjcwVY4d5xVQx24t+H6aDV9XF933fycNsmdH+QdIwY19+SapkCANJR1IeGZCoKU1I1PRNcPnzwRvxuVAcWP5ZsgAAAABJRU5ErkJggg=="},{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABCklEQVR42t2TzStEcRSG3+bOwlxiUrc0i8lXyZSFvfI3kJTYKRu2yspWlJSlnSWrWVIWslLILJCm3I0y+ShXZAzd+9iYpDn9diyc1ek876nzKf1P66lw0e3guZC9rIO3n7GRdvCWw3j+VxsYLt7WwtWgChWTLyUAXAM7Fl8AtvLBNsCywQvvcJKWOgAmDMEmMCVJEVBo5F4E+JK8D6h6jYJO4F6S8sDRdzxVd3xJkSSNSSoZJbQl8JqR/BCYs7rcB9azvbsAQ5Zg8AWAh2dIWs1BDhQfa+WVvhhOXfuYBBZdB3EJT4FFuo6n+zO5kXOIx83UWb7sbvTnhOtO+aop1fx2c7A2U/rrP/oEhaOMWEQ4JkgAAAAASUVORK5CYII="},{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA8ElEQVR42uWTPy8EARBHn0OjQJwKx0Z1jVgJOq1SR+NL+Aw+AlFrJZKLQnRKiYajuFBtclGIP8lGQ05ynkqykbkNlcJUk5mX38xkZuDf2Zza+B6sFPwUaP4aKNqpOlEGPOsDJSVqVbhcPLh/v9urhgJrarur6s1wpJACte2x5AzqW5FCQ90FVtTzCMj0YxaYVLOgxEgCFxkwDrwEQNoHbYBp4CoCgCeADeAoaGFfPQFm3rTVHwBNtbs5tNzS16UgP9jRPFc1X42GnFeP64ePnWxnqhgf+HIWgObteu9l9TqGyo+vJdecEoVkFK7/6Fk+AaSjZUkMGBJcAAAAAElFTkSuQmCC"}]},{"class":"WHITE LEFT-POINTING SMALL TRIANGLE","text":"WHITE LEFT-POINTING SMALL TRIANGLE","pr_auc":0.3333333333333333,"words":[{"word":"small","drop":0.0},{"word":"left","drop":-0.08333333333333337}],"right":[{"class":"WHITE LEFT-POINTING SMALL TRIANGLE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAZElEQVR42mNgGAWDGnASkC58jF/6+f0/eKQLnh91dfiDR/q4OwMDLgWcBc9PeDAw4FaQ8eGhJQM+BQwCTR+2m+NTwMAg2Pxxmxk+BQwMgi0ftxT/wRtOQq2f/hAIaeGm0dSGAQDiGiFptQv6XAAAAABJRU5ErkJggg=="},{"class":"WHITE LEFT-POINTING SMALL TRIANGLE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAZElEQVR42mNgGAWDGnASkC58jF/6+f0/eKQLnh91dfiDR/q4OwMDLgWcBc9PeDAw4FaQ8eGhJQM+BQwCTR+2m+NTwMAg2Pxxmxk+BQwMgi0ftxT/wRtOQq2f/hAIaeGm0dSGAQDiGiFptQv6XAAAAABJRU5ErkJggg=="},{"class":"WHITE LEFT-POINTING SMALL TRIANGLE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAUElEQVR42mNgGAXDG3ivxi996tcDPNJep54VJDzAJ53PwRCBU4HJ9V+pzAx4FDAwRd+4GcMcgc8NTNE3bi56gNcXzDE3HhAIB2bP0bRAOgAAFzIYdllBmJkAAAAASUVORK5CYII="}],"wrong":[{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABCklEQVR42t2TzStEcRSG3+bOwlxiUrc0i8lXyZSFvfI3kJTYKRu2yspWlJSlnSWrWVIWslLILJCm3I0y+ShXZAzd+9iYpDn9diyc1ek876nzKf1P66lw0e3guZC9rIO3n7GRdvCWw3j+VxsYLt7WwtWgChWTLyUAXAM7Fl8AtvLBNsCywQvvcJKWOgAmDMEmMCVJEVBo5F4E+JK8D6h6jYJO4F6S8sDRdzxVd3xJkSSNSSoZJbQl8JqR/BCYs7rcB9azvbsAQ5Zg8AWAh2dIWs1BDhQfa+WVvhhOXfuYBBZdB3EJT4FFuo6n+zO5kXOIx83UWb7sbvTnhOtO+aop1fx2c7A2U/rrP/oEhaOMWEQ4JkgAAAAASUVORK5CYII="},{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABDUlEQVR42mNgGKaAf1IPLz55tr2vzfHJMy55oI7Xgo5LUih8FjR5oWd2H0hzMiM639ldmfv7k/KvONQ7XH3Wm1L9/zMTDvnsvwu5GRiM/x/GIR/6fw0jAwND+v+J2OUF378XZmBgYJj1Px67gur/3QwMDAwMZ//rYldw7b8xAwMDA+vP7yxY5SX/f2FiYGBgcPx/AkkUyT/yDK/+MTAwMAQynMNug+H/98wMDAyaP/+nYFfAcu9/Ayej09FH/41wBIPZ4/9/vh3V/PKTDWdasXZXYTD5fxCHtKMkAwMDA0Pf/zQcCl7mMDAwMBh+O8+KXV7m/+s0M7fW78clcKQHNu8AVbFfV1et/UfvbAQA6h1Qlj0eF4QAAAAASUVORK5CYII="},{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA+ElEQVR42mNgGKaAedP/PkZ8Cmb+b8BrQP2/ArzySX+SaOsDh+3vX01g3/vfCId8wd//////n3//Jxt2ebd/v2vFBcv//j2DI4Ru/89iYGBgOP5/JnYFPv8vMDIwMDAs+p+OEGRCUuDLsPQ/AwMDgyjDWewmnP7vwsDAwMD29hc7dhNEGT4yMDAwhAtd+YldwUcGdQYGBo5yhnM4QmHx//vWnEYH/vzPxKFA6/f/////nz7x3wxXQLuf/fl0Av+HH+x4o8Pm/0H88bXlfwYOGaHj4Qpc+qv+P+LAocD5////////f4/qRGYE89kjYW7G+8tjr9E7GwEA+ylYZ3CcXEsAAAAASUVORK5CYII="}]},{"class":"GREEK SMALL LETTER SHO","text":"GREEK SMALL LETTER SHO","pr_auc":0.1514161220043573,"words":[{"word":"greek","drop":0.024338624338624354},{"word":"letter","drop":0.010994044082279386},{"word":"small","drop":-0.01296116737293207}],"right":[{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA8ElEQVR42uWTPy8EARBHn0OjQJwKx0Z1jVgJOq1SR+NL+Aw+AlFrJZKLQnRKiYajuFBtclGIP8lGQ05ynkqykbkNlcJUk5mX38xkZuDf2Zza+B6sFPwUaP4aKNqpOlEGPOsDJSVqVbhcPLh/v9urhgJrarur6s1wpJACte2x5AzqW5FCQ90FVtTzCMj0YxaYVLOgxEgCFxkwDrwEQNoHbYBp4CoCgCeADeAoaGFfPQFm3rTVHwBNtbs5tNzS16UgP9jRPFc1X42GnFeP64ePnWxnqhgf+HIWgObteu9l9TqGyo+vJdecEoVkFK7/6Fk+AaSjZUkMGBJcAAAAAElFTkSuQmCC"},{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA4klEQVR42mNgGIGA8dNfDrwKVP/fQhdiQuEZMFzBr8CQkAIsJqCCZ/91cm/8vFfCiENe7P+v+f//////PwuHAvf//+77cstu+P8Ih4Ly/58UGBgYZP7/58HuSEOG2Q8YGBie/GPgxm7Cjf+KDAwMDML/f7Fglef++4yBgYGBwff/GezhoMf0hoGBgYEhk2ELdhsy/79jZWBgMPv3Qw67gln//82U4Al79b8Zhy9P/Wv///////9rmLHLM3+7x9j47OuZVFwBrf1/MxZRJuSovEpIwTX8CgyxmoAEXv/jGpisAgAZ6Ux7en5WhwAAAABJRU5ErkJggg=="},{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABAUlEQVR42uWTMUtCURiGH293MNRBAqmhQSppkOreJWgRdPA35FB/ovojIa6l2NQYTbUWFYSE2FANQlsRoRSi1esWF/nuXRs603v4Ht7zfuc7B/7FigV0aReajQnACej3k0x5GO13p6XIenzUixFxBCtuS5OAG9z43E5vFVKd/ecQB4/Xy0I3vtdaCMlwo24eaOjIrrsDbQOU1beBVb04AOtS0szgc/oDMMvowwQ8LgBY5EkhDg8AFDkzIzh9+QBzQ62ZwLK0CXCoA7uJiq47OWaqukrYV+1RT7UHya/azqftcK4NMqViOnTYb9+JyMeQ1b3ZW3DWFjD1q+Z7x49/83HG9jBJEp7q55oAAAAASUVORK5CYII="}],"wrong":[{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABCklEQVR42t2TzStEcRSG3+bOwlxiUrc0i8lXyZSFvfI3kJTYKRu2yspWlJSlnSWrWVIWslLILJCm3I0y+ShXZAzd+9iYpDn9diyc1ek876nzKf1P66lw0e3guZC9rIO3n7GRdvCWw3j+VxsYLt7WwtWgChWTLyUAXAM7Fl8AtvLBNsCywQvvcJKWOgAmDMEmMCVJEVBo5F4E+JK8D6h6jYJO4F6S8sDRdzxVd3xJkSSNSSoZJbQl8JqR/BCYs7rcB9azvbsAQ5Zg8AWAh2dIWs1BDhQfa+WVvhhOXfuYBBZdB3EJT4FFuo6n+zO5kXOIx83UWb7sbvTnhOtO+aop1fx2c7A2U/rrP/oEhaOMWEQ4JkgAAAAASUVORK5CYII="},{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAwUlEQVR42u2QOw4BYRhFjxlkComCSBQKLRWiV+jZgH3pbcASNKKbEYmCaHSim6AhXNW8/GM2wKluvu/kf1z4CXJRLNjweAIULbi/DHclaQLAWVLf2Ns3SW2AhqSHYwgtSTcbYCRpE4ytUOgC22eQXFPoAHsAeulCE7iGZ3nBOB8KNWC8OEGpDlqbjcwVY4d5xVQx24t+H6aDV9XF933fycNsmdH+QdIwY19+SapkCANJR1IeGZCoKU1I1PRNcPnzwRvxuVAcWP5ZsgAAAABJRU5ErkJggg=="},{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA6ElEQVR42u2QP05CQRyEPx4PSYgxWNDoJkBipCCGCFTGxsITkFB4Ak9i5SksOIKVB7BCLGkkJBAqaNgQiT6HhveHl8UL6FSTybezvwz8CWUikwfQGg48gK8gRXYlSSNgLknqpKsOzaOeTQkypiU1TG6b+yFgbZXXCaDJBbP36KEXdzR5C00fB3BcCfPLkNwF6iynjoZYba3zABSlsgvIDfRU84Abzd2bnfZWCqy1n3pJpH5sp3fZ8pEPD7d9NwDBB4Bx3xip8K3zX4ErLRPrJZeMBh387LsBOClcMz5bLPZ+MJQk3fOvlDb/tExStHk6HgAAAABJRU5ErkJggg=="}]},{"class":"LATIN SMALL LETTER G WITH ACUTE","text":"LATIN SMALL LETTER G WITH ACUTE","pr_auc":0.12763157894736843,"words":[{"word":"small","drop":0.01619367045063641},{"word":"latin","drop":0.014950980392156879},{"word":"letter","drop":0.008006535947712445},{"word":"with","drop":-0.04693459561880611}],"right":[{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABCklEQVR42t2TzStEcRSG3+bOwlxiUrc0i8lXyZSFvfI3kJTYKRu2yspWlJSlnSWrWVIWslLILJCm3I0y+ShXZAzd+9iYpDn9diyc1ek876nzKf1P66lw0e3guZC9rIO3n7GRdvCWw3j+VxsYLt7WwtWgChWTLyUAXAM7Fl8AtvLBNsCywQvvcJKWOgAmDMEmMCVJEVBo5F4E+JK8D6h6jYJO4F6S8sDRdzxVd3xJkSSNSSoZJbQl8JqR/BCYs7rcB9azvbsAQ5Zg8AWAh2dIWs1BDhQfa+WVvhhOXfuYBBZdB3EJT4FFuo6n+zO5kXOIx83UWb7sbvTnhOtO+aop1fx2c7A2U/rrP/oEhaOMWEQ4JkgAAAAASUVORK5CYII="},{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA+ElEQVR42mNgGKaAedP/PkZ8Cmb+b8BrQP2/ArzySX+SaOsDh+3vX01g3/vfCId8wd//////n3//Jxt2ebd/v2vFBcv//j2DI4Ru/89iYGBgOP5/JnYFPv8vMDIwMDAs+p+OEGRCUuDLsPQ/AwMDgyjDWewmnP7vwsDAwMD29hc7dhNEGT4yMDAwhAtd+YldwUcGdQYGBo5yhnM4QmHx//vWnEYH/vzPxKFA6/f/////nz7x3wxXQLuf/fl0Av+HH+x4o8Pm/0H88bXlfwYOGaHj4Qpc+qv+P+LAocD5////////f4/qRGYE89kjYW7G+8tjr9E7GwEA+ylYZ3CcXEsAAAAASUVORK5CYII="},{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABDUlEQVR42mNgGKaAf1IPLz55tr2vzfHJMy55oI7Xgo5LUih8FjR5oWd2H0hzMiM639ldmfv7k/KvONQ7XH3Wm1L9/zMTDvnsvwu5GRiM/x/GIR/6fw0jAwND+v+J2OUF378XZmBgYJj1Px67gur/3QwMDAwMZ//rYldw7b8xAwMDA+vP7yxY5SX/f2FiYGBgcPx/AkkUyT/yDK/+MTAwMAQynMNug+H/98wMDAyaP/+nYFfAcu9/Ayej09FH/41wBIPZ4/9/vh3V/PKTDWdasXZXYTD5fxCHtKMkAwMDA0Pf/zQcCl7mMDAwMBh+O8+KXV7m/+s0M7fW78clcKQHNu8AVbFfV1et/UfvbAQA6h1Qlj0eF4QAAAAASUVORK5CYII="}],"wrong":[{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAwUlEQVR42u2QOw4BYRhFjxlkComCSBQKLRWiV+jZgH3pbcASNKKbEYmCaHSim6AhXNW8/GM2wKluvu/kf1z4CXJRLNjweAIULbi/DHclaQLAWVLf2Ns3SW2AhqSHYwgtSTcbYCRpE4ytUOgC22eQXFPoAHsAeulCE7iGZ3nBOB8KNWC8OEGpDlqbjcwVY4d5xVQx24t+H6aDV9XF933fycNsmdH+QdIwY19+SapkCANJR1IeGZCoKU1I1PRNcPnzwRvxuVAcWP5ZsgAAAABJRU5ErkJggg=="},{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA8ElEQVR42uWTPy8EARBHn0OjQJwKx0Z1jVgJOq1SR+NL+Aw+AlFrJZKLQnRKiYajuFBtclGIP8lGQ05ynkqykbkNlcJUk5mX38xkZuDf2Zza+B6sFPwUaP4aKNqpOlEGPOsDJSVqVbhcPLh/v9urhgJrarur6s1wpJACte2x5AzqW5FCQ90FVtTzCMj0YxaYVLOgxEgCFxkwDrwEQNoHbYBp4CoCgCeADeAoaGFfPQFm3rTVHwBNtbs5tNzS16UgP9jRPFc1X42GnFeP64ePnWxnqhgf+HIWgObteu9l9TqGyo+vJdecEoVkFK7/6Fk+AaSjZUkMGBJcAAAAAElFTkSuQmCC"},{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAvUlEQVR42mNgGBGAGZnDzvoXSv/7j02x8P//kgwMDAysP//rYjXN9f9zBgYGBgbD/99Z4IJMSAqMGM5B6ct/sCowhis4x4DDhPMoCtEB97//GgwMDAzM3/6bYlWg8v+/OAMDA4P5/98cCFEWlCBpX/xN2DWd4doPrCYwXfn//////////V+APST/b2T79eLG9joZxfkn8Yb+2/82eOUV/v/jZcAeDrDQuP2ZgAKUYMKm4Dz+FPL8vwvDKMAAAApnO4prPuLSAAAAAElFTkSuQmCC"}]},{"class":"REVERSED PRIME","text":"REVERSED PRIME","pr_auc":0.11125541125541126,"words":[],"right":[{"class":"REVERSED PRIME","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAOElEQVR42mNgGBGAEY3PzMrw5w8+DVq//6/Bb+SE/++Y8CoQeP3fDMVOdAU/PrjdP8owCkbB4AUAMkUNVtguwZAAAAAASUVORK5CYII="},{"class":"REVERSED PRIME","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAMElEQVR42mNgGBGAGUOEiZ35L14t/C9/8+I3NOW/P34FTGenEnCX9SWGUTAKBi8AANTHBzAhrwQQAAAAAElFTkSuQmCC"},{"class":"REVERSED PRIME","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAALUlEQVR42mNgGBGAGY3PwfIXv4at/33xK1D7NZmAnd03CSjgeyTLMApGwWAGAO6RBzKCbeISAAAAAElFTkSuQmCC"}],"wrong":[{"class":"CYRILLIC CAPITAL LETTER CHE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAwUlEQVR42u2QOw4BYRhFjxlkComCSBQKLRWiV+jZgH3pbcASNKKbEYmCaHSim6AhXNW8/GM2wKluvu/kf1z4CXJRLNjweAIULbi/DHclaQLAWVLf2Ns3SW2AhqSHYwgtSTcbYCRpE4ytUOgC22eQXFPoAHsAeulCE7iGZ3nBOB8KNWC8OEGpDlqbjcwVY4d5xVQx24t+H6aDV9XF933fycNsmdH+QdIwY19+SapkCANJR1IeGZCoKU1I1PRNcPnzwRvxuVAcWP5ZsgAAAABJRU5ErkJggg=="},{"class":"LATIN SMALL LETTER G WITH ACUTE","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAABCklEQVR42t2TzStEcRSG3+bOwlxiUrc0i8lXyZSFvfI3kJTYKRu2yspWlJSlnSWrWVIWslLILJCm3I0y+ShXZAzd+9iYpDn9diyc1ek876nzKf1P66lw0e3guZC9rIO3n7GRdvCWw3j+VxsYLt7WwtWgChWTLyUAXAM7Fl8AtvLBNsCywQvvcJKWOgAmDMEmMCVJEVBo5F4E+JK8D6h6jYJO4F6S8sDRdzxVd3xJkSSNSSoZJbQl8JqR/BCYs7rcB9azvbsAQ5Zg8AWAh2dIWs1BDhQfa+WVvhhOXfuYBBZdB3EJT4FFuo6n+zO5kXOIx83UWb7sbvTnhOtO+aop1fx2c7A2U/rrP/oEhaOMWEQ4JkgAAAAASUVORK5CYII="},{"class":"GREEK SMALL LETTER SHO","image":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAA8ElEQVR42uWTPy8EARBHn0OjQJwKx0Z1jVgJOq1SR+NL+Aw+AlFrJZKLQnRKiYajuFBtclGIP8lGQ05ynkqykbkNlcJUk5mX38xkZuDf2Zza+B6sFPwUaP4aKNqpOlEGPOsDJSVqVbhcPLh/v9urhgJrarur6s1wpJACte2x5AzqW5FCQ90FVtTzCMj0YxaYVLOgxEgCFxkwDrwEQNoHbYBp4CoCgCeADeAoaGFfPQFm3rTVHwBNtbs5tNzS16UgP9jRPFc1X42GnFeP64ePnWxnqhgf+HIWgObteu9l9TqGyo+vJdecEoVkFK7/6Fk+AaSjZUkMGBJcAAAAAElFTkSuQmCC"}]}]}');
INSERT INTO "event" VALUES(11,2,5,'2026-11-29 05:41:58.915913','info','zero_shot_tested','{"trial":5,"model":"zero-shot/model-5.safetensors","earlier":[],"rows":[{"method":"trial 5","source":"the chosen design","setting":"validated H 0.1250, 1 epochs on all seen classes","roc_unseen":0.5052910052910053,"roc_seen":0.5683760683760684,"roc_mean":0.5549943883277216,"roc_unseen_all":0.5287698412698413,"pr_unseen":0.24645510782728824,"pr_seen":0.12313454234585211,"pr_mean":0.14929345017524767,"pr_unseen_all":0.06307827441727623,"top1_unseen":0.14285714285714285,"u":0.0,"s":0.038461538461538464,"h":0.0,"gamma":-0.4184526205062866,"u_calibrated":0.0,"s_calibrated":0.05128205128205128,"h_calibrated":0.0,"ausuc":0.001831501831501831},{"method":"random","source":"chance","setting":"text=tfidf, calibration=posterior","val_h":0.03846153846153846,"val_roc_auc":0.48333333333333334,"roc_unseen":0.5132275132275133,"roc_seen":0.48495726495726493,"roc_mean":0.49095398428731757,"roc_unseen_all":0.527281746031746,"pr_unseen":0.2635766350052064,"pr_seen":0.060944215072710466,"pr_mean":0.10392684960384597,"pr_unseen_all":0.07383832323881893,"top1_unseen":0.2857142857142857,"u":0.047619047619047616,"s":0.01282051282051282,"h":0.0202020202020202,"gamma":-0.11932394363758281,"u_calibrated":0.0,"s_calibrated":0.01282051282051282,"h_calibrated":0.0,"ausuc":0.001831501831501831},{"method":"ridge","source":"text to the mean of a class''s vectors, cosine","setting":"text=tfidf, strength=0.01, calibration=none","val_h":0.45669291338582685,"val_roc_auc":0.7416666666666667,"roc_unseen":0.7116402116402115,"roc_seen":0.9967521367521368,"roc_mean":0.936273849607183,"roc_unseen_all":0.7212301587301587,"pr_unseen":0.45700343933426646,"pr_seen":0.9465201465201466,"pr_mean":0.8426832692382932,"pr_unseen_all":0.20832856514925563,"top1_unseen":0.42857142857142855,"u":0.14285714285714285,"s":0.9615384615384616,"h":0.2487562189054726,"gamma":0.1854501600868117,"u_calibrated":0.23809523809523808,"s_calibrated":0.9487179487179487,"h_calibrated":0.3806584362139917,"ausuc":0.38827838827838823},{"method":"eszsl","source":"Romera-Paredes and Torr 2015","setting":"text=tfidf, gamma=100, strength=0.1, calibration=posterior","val_h":0.6034482758620688,"val_roc_auc":0.8583333333333334,"roc_unseen":0.5291005291005291,"roc_seen":0.9994871794871794,"roc_mean":0.8997081930415263,"roc_unseen_all":0.7782738095238094,"pr_unseen":0.2984390247327001,"pr_seen":0.9916666666666666,"pr_mean":0.8446183789837041,"pr_unseen_all":0.20673894024948616,"top1_unseen":0.2857142857142857,"u":0.0,"s":0.9615384615384616,"h":0.0,"gamma":3.085432085171835,"u_calibrated":0.2857142857142857,"s_calibrated":0.641025641025641,"h_calibrated":0.39525691699604737,"ausuc":0.23199023199023194},{"method":"bilinear","source":"softmax over x W a","setting":"text=tfidf, lr=0.1, calibration=posterior","val_h":0.6315789473684209,"val_roc_auc":0.875,"roc_unseen":0.6613756613756615,"roc_seen":0.9989743589743589,"roc_mean":0.9273625140291807,"roc_unseen_all":0.7475198412698413,"pr_unseen":0.4374329685254055,"pr_seen":0.982051282051282,"pr_mean":0.8665261852427627,"pr_unseen_all":0.23778826602641248,"top1_unseen":0.3333333333333333,"u":0.0,"s":0.9358974358974359,"h":0.0,"gamma":2.1907764258867344,"u_calibrated":0.2857142857142857,"s_calibrated":0.6538461538461539,"h_calibrated":0.3976608187134503,"ausuc":0.28266178266178255},{"method":"devise","source":"Frome et al. 2013","setting":"text=tfidf, lr=0.1, calibration=posterior","val_h":0.6315789473684211,"val_roc_auc":0.8583333333333334,"roc_unseen":0.671957671957672,"roc_seen":0.9993162393162393,"roc_mean":0.9298765432098764,"roc_unseen_all":0.7579365079365079,"pr_unseen":0.43298182602693874,"pr_seen":0.9873931623931624,"pr_mean":0.869790757709418,"pr_unseen_all":0.24215660246950146,"top1_unseen":0.3333333333333333,"u":0.0,"s":0.9358974358974359,"h":0.0,"gamma":2.192540970826116,"u_calibrated":0.2857142857142857,"s_calibrated":0.6538461538461539,"h_calibrated":0.3976608187134503,"ausuc":0.2899877899877899},{"method":"ale","source":"Akata et al. 2016","setting":"text=tfidf, lr=0.01, calibration=posterior","val_h":0.6315789473684209,"val_roc_auc":0.8583333333333334,"roc_unseen":0.664021164021164,"roc_seen":0.9986324786324785,"roc_mean":0.9276543209876543,"roc_unseen_all":0.7410714285714286,"pr_unseen":0.44359498062505587,"pr_seen":0.9788461538461539,"pr_mean":0.8653080261931937,"pr_unseen_all":0.2253803542947366,"top1_unseen":0.3333333333333333,"u":0.0,"s":0.9102564102564101,"h":0.0,"gamma":2.032061393818914,"u_calibrated":0.2857142857142857,"s_calibrated":0.6025641025641025,"h_calibrated":0.3876288659793814,"ausuc":0.27106227106227093},{"method":"sje","source":"Akata et al. 2015","setting":"text=tfidf, lr=0.1, calibration=posterior","val_h":0.6582278481012658,"val_roc_auc":0.7833333333333333,"roc_unseen":0.6402116402116401,"roc_seen":1.0,"roc_mean":0.9236812570145904,"roc_unseen_all":0.7534722222222222,"pr_unseen":0.4188940541660577,"pr_seen":1.0,"pr_mean":0.8767351023988608,"pr_unseen_all":0.27644960535587837,"top1_unseen":0.3333333333333333,"u":0.0,"s":0.9743589743589743,"h":0.0,"gamma":2.2627001960796544,"u_calibrated":0.2857142857142857,"s_calibrated":0.6923076923076923,"h_calibrated":0.4044943820224719,"ausuc":0.29487179487179477},{"method":"gpr","source":"Elhoseiny et al. 2013: text to hyperplanes","setting":"text=tfidf, noise=0.1, calibration=none","val_h":0.515267175572519,"val_roc_auc":0.9,"roc_unseen":0.6613756613756614,"roc_seen":0.9996581196581196,"roc_mean":0.9279012345679012,"roc_unseen_all":0.6314484126984128,"pr_unseen":0.4080654056494392,"pr_seen":0.9948717948717949,"pr_mean":0.870397712309477,"pr_unseen_all":0.07620545645349108,"top1_unseen":0.19047619047619047,"u":0.0,"s":0.9743589743589743,"h":0.0,"gamma":1.7106184198895242,"u_calibrated":0.19047619047619047,"s_calibrated":0.8205128205128205,"h_calibrated":0.3091787439613526,"ausuc":0.1727716727716727},{"method":"da","source":"Kulis et al. 2011, squared hinge","setting":"text=tfidf, strength=0.1, calibration=none","val_h":0.5223880597014925,"val_roc_auc":0.8250000000000001,"roc_unseen":0.5555555555555556,"roc_seen":0.9986324786324787,"roc_mean":0.9046464646464647,"roc_unseen_all":0.5808531746031746,"pr_unseen":0.21277662662005872,"pr_seen":0.985042735042735,"pr_mean":0.8212287120439855,"pr_unseen_all":0.060777401609748434,"top1_unseen":0.14285714285714285,"u":0.09523809523809523,"s":0.9743589743589743,"h":0.1735159817351598,"gamma":1.0253897867445532,"u_calibrated":0.14285714285714285,"s_calibrated":0.8974358974358974,"h_calibrated":0.24647887323943662,"ausuc":0.13858363858363854},{"method":"gpr+da","source":"Elhoseiny et al. 2013, late fusion","setting":"text=tfidf, strength=0.1, calibration=none","val_h":0.670807453416149,"val_roc_auc":0.9,"roc_unseen":0.6798941798941799,"roc_seen":0.9993162393162394,"roc_mean":0.9315600448933783,"roc_unseen_all":0.6572420634920635,"pr_unseen":0.37132759945674587,"pr_seen":0.9926739926739927,"pr_mean":0.860873242597607,"pr_unseen_all":0.07856292835039232,"top1_unseen":0.19047619047619047,"u":0.0,"s":0.9743589743589743,"h":0.0,"gamma":1.5533460830391452,"u_calibrated":0.19047619047619047,"s_calibrated":0.9102564102564101,"h_calibrated":0.31503050471436495,"ausuc":0.18376068376068372}],"measures":"Negatives of roc_unseen and pr_unseen are test pictures of the other unseen classes, of roc_seen those of the other seen ones; the means weigh the two by their numbers of classes. The labels of top1_unseen are the unseen classes, those of u, s and all H every class, seen and unseen. Accuracies are means over classes. h_calibrated subtracts from the scores of seen classes what was best on validation classes; ausuc is the exact area under the curve of s over u.","costs":[{"part":"image network","params":1660,"macs":442560,"runs":"once for an image"},{"part":"image head","params":846,"macs":28032,"runs":"once for an image"},{"part":"text network","params":4252,"macs":4160,"runs":"once for a class"},{"part":"a class","params":60,"macs":60,"runs":"once for an image"}],"words":70,"seen":26,"unseen":7,"train":234,"test_seen":78,"test_unseen":21}');
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
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',0,'conv1','convolution','[8,8,8]',72,4608,512);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',1,'norm1','batch-norm','[8,8,8]',16,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',2,'relu1','activation','[8,8,8]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',3,'conv2','convolution','[8,8,8]',576,36864,512);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',4,'norm2','batch-norm','[8,8,8]',16,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',5,'relu2','activation','[8,8,8]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',6,'maxpool2','pooling','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',7,'conv3','convolution','[4,4,4]',32,512,64);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',8,'norm3','batch-norm','[4,4,4]',8,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',9,'relu3','activation','[4,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',10,'conv4','convolution','[6,4,4]',48,768,96);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',11,'norm4','batch-norm','[6,4,4]',12,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',12,'relu4','activation','[6,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',13,'conv5','convolution','[8,4,4]',432,6912,128);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',14,'norm5','batch-norm','[8,4,4]',16,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',15,'relu5','activation','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',16,'conv6','convolution','[1,4,4]',8,128,16);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',17,'norm6','batch-norm','[1,4,4]',2,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',18,'relu6','activation','[1,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',19,'conv7','convolution','[2,4,4]',50,800,32);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',20,'norm7','batch-norm','[2,4,4]',4,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',21,'relu7','activation','[2,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',22,'maxpool7','pooling','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',23,'conv8','convolution','[2,4,4]',16,256,32);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',24,'norm8','batch-norm','[2,4,4]',4,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',25,'relu8','activation','[2,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',26,'concat8','branches','[16,4,4]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',27,'maxpool8','pooling','[16,2,2]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',28,'globalpool8','global-pooling','[16]',0,0,0);
INSERT INTO "layer" VALUES('357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff',29,'fc9','fully-connected','[10]',170,160,10);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',0,'conv1','convolution','[4,8,8]',36,2304,256);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',1,'norm1','batch-norm','[4,8,8]',8,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',2,'relu1','activation','[4,8,8]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',3,'conv2','convolution','[12,4,4]',432,6912,192);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',4,'norm2','batch-norm','[12,4,4]',24,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',5,'relu2','activation','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',6,'conv3','convolution','[12,4,4]',1296,20736,192);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',7,'norm3','batch-norm','[12,4,4]',24,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',8,'conv4','convolution','[12,4,4]',48,768,192);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',9,'norm4','batch-norm','[12,4,4]',24,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',10,'add4','branches','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',11,'relu4','activation','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',12,'conv5','convolution','[2,4,4]',24,384,32);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',13,'norm5','batch-norm','[2,4,4]',4,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',14,'relu5','activation','[2,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',15,'conv6','convolution','[3,4,4]',36,576,48);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',16,'norm6','batch-norm','[3,4,4]',6,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',17,'relu6','activation','[3,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',18,'conv7','convolution','[4,4,4]',108,1728,64);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',19,'norm7','batch-norm','[4,4,4]',8,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',20,'relu7','activation','[4,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',21,'conv8','convolution','[1,4,4]',12,192,16);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',22,'norm8','batch-norm','[1,4,4]',2,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',23,'relu8','activation','[1,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',24,'conv9','convolution','[1,4,4]',25,400,16);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',25,'norm9','batch-norm','[1,4,4]',2,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',26,'relu9','activation','[1,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',27,'maxpool9','pooling','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',28,'conv10','convolution','[1,4,4]',12,192,16);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',29,'norm10','batch-norm','[1,4,4]',2,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',30,'relu10','activation','[1,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',31,'concat10','branches','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',32,'maxpool10','pooling','[8,2,2]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',33,'globalpool10','global-pooling','[8]',0,0,0);
INSERT INTO "layer" VALUES('561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5',34,'fc11','fully-connected','[10]',90,80,10);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',0,'conv1','convolution','[4,8,8]',36,2304,256);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',1,'norm1','batch-norm','[4,8,8]',8,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',2,'relu1','activation','[4,8,8]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',3,'conv2','convolution','[8,4,4]',288,4608,128);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',4,'norm2','batch-norm','[8,4,4]',16,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',5,'relu2','activation','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',6,'conv3','convolution','[8,4,4]',576,9216,128);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',7,'norm3','batch-norm','[8,4,4]',16,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',8,'conv4','convolution','[8,4,4]',32,512,128);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',9,'norm4','batch-norm','[8,4,4]',16,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',10,'add4','branches','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',11,'relu4','activation','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',12,'conv5','convolution','[4,4,4]',32,512,64);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',13,'norm5','batch-norm','[4,4,4]',8,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',14,'relu5','activation','[4,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',15,'conv6','convolution','[6,4,4]',48,768,96);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',16,'norm6','batch-norm','[6,4,4]',12,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',17,'relu6','activation','[6,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',18,'conv7','convolution','[8,4,4]',432,6912,128);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',19,'norm7','batch-norm','[8,4,4]',16,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',20,'relu7','activation','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',21,'conv8','convolution','[1,4,4]',8,128,16);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',22,'norm8','batch-norm','[1,4,4]',2,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',23,'relu8','activation','[1,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',24,'conv9','convolution','[2,4,4]',50,800,32);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',25,'norm9','batch-norm','[2,4,4]',4,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',26,'relu9','activation','[2,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',27,'maxpool9','pooling','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',28,'conv10','convolution','[2,4,4]',16,256,32);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',29,'norm10','batch-norm','[2,4,4]',4,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',30,'relu10','activation','[2,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',31,'concat10','branches','[16,4,4]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',32,'maxpool10','pooling','[16,2,2]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',33,'globalpool10','global-pooling','[16]',0,0,0);
INSERT INTO "layer" VALUES('1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d',34,'fc11','fully-connected','[10]',170,160,10);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',0,'conv1','convolution','[8,8,8]',72,4608,512);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',1,'norm1','batch-norm','[8,8,8]',16,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',2,'relu1','activation','[8,8,8]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',3,'conv2','convolution','[12,4,4]',864,13824,192);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',4,'norm2','batch-norm','[12,4,4]',24,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',5,'relu2','activation','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',6,'conv3','convolution','[12,4,4]',1296,20736,192);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',7,'norm3','batch-norm','[12,4,4]',24,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',8,'conv4','convolution','[12,4,4]',96,1536,192);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',9,'norm4','batch-norm','[12,4,4]',24,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',10,'add4','branches','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',11,'relu4','activation','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',12,'conv5','convolution','[4,4,4]',48,768,64);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',13,'norm5','batch-norm','[4,4,4]',8,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',14,'relu5','activation','[4,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',15,'conv6','convolution','[6,4,4]',72,1152,96);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',16,'norm6','batch-norm','[6,4,4]',12,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',17,'relu6','activation','[6,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',18,'conv7','convolution','[8,4,4]',432,6912,128);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',19,'norm7','batch-norm','[8,4,4]',16,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',20,'relu7','activation','[8,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',21,'conv8','convolution','[1,4,4]',12,192,16);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',22,'norm8','batch-norm','[1,4,4]',2,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',23,'relu8','activation','[1,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',24,'conv9','convolution','[2,4,4]',50,800,32);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',25,'norm9','batch-norm','[2,4,4]',4,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',26,'relu9','activation','[2,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',27,'maxpool9','pooling','[12,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',28,'conv10','convolution','[2,4,4]',24,384,32);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',29,'norm10','batch-norm','[2,4,4]',4,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',30,'relu10','activation','[2,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',31,'concat10','branches','[16,4,4]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',32,'maxpool10','pooling','[16,2,2]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',33,'globalpool10','global-pooling','[16]',0,0,0);
INSERT INTO "layer" VALUES('8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca',34,'fc11','fully-connected','[10]',170,160,10);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',0,'conv1','convolution','[12,32,32]',108,110592,12288);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',1,'norm1','batch-norm','[12,32,32]',24,0,0);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',2,'relu1','activation','[12,32,32]',0,0,0);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',3,'maxpool1','pooling','[12,16,16]',0,0,0);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',4,'conv2','convolution','[12,16,16]',1296,331776,3072);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',5,'norm2','batch-norm','[12,16,16]',24,0,0);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',6,'relu2','activation','[12,16,16]',0,0,0);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',7,'maxpool2','pooling','[12,8,8]',0,0,0);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',8,'globalpool2','global-pooling','[12]',0,0,0);
INSERT INTO "layer" VALUES('08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe',9,'fc3','fully-connected','[16]',208,192,16);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',0,'conv1','convolution','[8,32,32]',72,73728,8192);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',1,'norm1','batch-norm','[8,32,32]',16,0,0);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',2,'relu1','activation','[8,32,32]',0,0,0);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',3,'maxpool1','pooling','[8,16,16]',0,0,0);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',4,'conv2','convolution','[16,16,16]',1152,294912,4096);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',5,'norm2','batch-norm','[16,16,16]',32,0,0);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',6,'relu2','activation','[16,16,16]',0,0,0);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',7,'maxpool2','pooling','[16,8,8]',0,0,0);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',8,'globalpool2','global-pooling','[16]',0,0,0);
INSERT INTO "layer" VALUES('f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e',9,'fc3','fully-connected','[16]',272,256,16);
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
INSERT INTO "measurement" VALUES(1,1,2,'561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5','cpu','x86_64 CPU','2.14.1+cu130','fp32',1,1,3,50,6.18292849992485571419e+00,1.40278526999054520274e+01,586924,NULL,'2026-11-29 05:40:42.191741');
INSERT INTO "measurement" VALUES(2,1,1,'357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff','cpu','x86_64 CPU','2.14.1+cu130','fp32',1,1,3,50,1.2451185000372788636e+00,5.12515210002675303258e+00,432288,NULL,'2026-11-29 05:40:43.146538');
INSERT INTO "measurement" VALUES(3,1,3,'1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d','cpu','x86_64 CPU','2.14.1+cu130','fp32',1,1,3,50,2.2769485000253553153e+00,5.8268484999643987976e+00,15840,NULL,'2026-11-29 05:40:44.096309');
INSERT INTO "measurement" VALUES(4,1,4,'8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca','cpu','x86_64 CPU','2.14.1+cu130','fp32',1,1,3,50,6.22074799991878535365e+00,1.3916307399949801038e+01,13696,NULL,'2026-11-29 05:40:44.546742');
INSERT INTO "measurement" VALUES(5,2,6,'f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e','cpu','x86_64 CPU','2.14.1+cu130','fp32',1,1,3,50,3.15881450001143093686e+00,9.43047129987917287508e+00,427224,NULL,'2026-11-29 05:41:31.679027');
INSERT INTO "measurement" VALUES(6,2,5,'08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe','cpu','x86_64 CPU','2.14.1+cu130','fp32',1,1,3,50,1.6430260001243368606e+00,8.07527680005932779749e+00,427112,NULL,'2026-11-29 05:41:31.729234');
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
INSERT INTO "metric" VALUES(1,'lr',1,9.21420498751434752238e-02,NULL);
INSERT INTO "metric" VALUES(1,'lr',2,5.75445844945276230308e-02,NULL);
INSERT INTO "metric" VALUES(1,'seconds',1,4.15927787999862630385e-01,NULL);
INSERT INTO "metric" VALUES(1,'seconds',2,9.7257613000010678661e-02,NULL);
INSERT INTO "metric" VALUES(1,'train_accuracy',1,1.22222222222222218213e-01,NULL);
INSERT INTO "metric" VALUES(1,'train_accuracy',2,2.66666666666666662965e-01,NULL);
INSERT INTO "metric" VALUES(1,'train_loss',1,2.89981955952114534014e+00,NULL);
INSERT INTO "metric" VALUES(1,'train_loss',2,2.12298959096272765734e+00,NULL);
INSERT INTO "metric" VALUES(1,'val_accuracy',1,0.1,NULL);
INSERT INTO "metric" VALUES(1,'val_accuracy',2,0.1,NULL);
INSERT INTO "metric" VALUES(1,'val_loss',1,3.05117726325988769531e+00,NULL);
INSERT INTO "metric" VALUES(1,'val_loss',2,2.54982995986938476562e+00,NULL);
INSERT INTO "metric" VALUES(2,'lr',1,1.98836120620429074312e-01,NULL);
INSERT INTO "metric" VALUES(2,'lr',2,1.2050808208112666342e-01,NULL);
INSERT INTO "metric" VALUES(2,'lr',3,0.0373830921701513,NULL);
INSERT INTO "metric" VALUES(2,'lr',4,2.23668442194340302831e-03,NULL);
INSERT INTO "metric" VALUES(2,'seconds',1,2.89203337000117244315e-01,NULL);
INSERT INTO "metric" VALUES(2,'seconds',2,3.41784509000035541248e-01,NULL);
INSERT INTO "metric" VALUES(2,'seconds',3,2.90632314000049518654e-01,NULL);
INSERT INTO "metric" VALUES(2,'seconds',4,2.25156093999885342782e-01,NULL);
INSERT INTO "metric" VALUES(2,'train_accuracy',1,1.88888888888888883954e-01,NULL);
INSERT INTO "metric" VALUES(2,'train_accuracy',2,3.05555555555555580227e-01,NULL);
INSERT INTO "metric" VALUES(2,'train_accuracy',3,5.27777777777777790113e-01,NULL);
INSERT INTO "metric" VALUES(2,'train_accuracy',4,5.3888888888888886175e-01,NULL);
INSERT INTO "metric" VALUES(2,'train_loss',1,2.49891841676500092717e+00,NULL);
INSERT INTO "metric" VALUES(2,'train_loss',2,1.90550049675835508899e+00,NULL);
INSERT INTO "metric" VALUES(2,'train_loss',3,1.62938193745083270691e+00,NULL);
INSERT INTO "metric" VALUES(2,'train_loss',4,1.45864530404408765384e+00,NULL);
INSERT INTO "metric" VALUES(2,'val_accuracy',1,1.33333333333333331482e-01,NULL);
INSERT INTO "metric" VALUES(2,'val_accuracy',2,0.15,NULL);
INSERT INTO "metric" VALUES(2,'val_accuracy',3,2.66666666666666662965e-01,NULL);
INSERT INTO "metric" VALUES(2,'val_accuracy',4,3.66666666666666640761e-01,NULL);
INSERT INTO "metric" VALUES(2,'val_loss',1,2.89918494224548339843e+00,NULL);
INSERT INTO "metric" VALUES(2,'val_loss',2,3.11867642402648925781e+00,NULL);
INSERT INTO "metric" VALUES(2,'val_loss',3,2.06025838851928710937e+00,NULL);
INSERT INTO "metric" VALUES(2,'val_loss',4,1.70235788822174072265e+00,NULL);
INSERT INTO "metric" VALUES(3,'lr',1,1.70076981661018339364e-01,NULL);
INSERT INTO "metric" VALUES(3,'lr',2,1.06216534742047966077e-01,NULL);
INSERT INTO "metric" VALUES(3,'lr',3,3.33804066078559336094e-02,NULL);
INSERT INTO "metric" VALUES(3,'lr',4,1.84581287144664277222e-03,NULL);
INSERT INTO "metric" VALUES(3,'seconds',1,3.93507157999920309521e-01,NULL);
INSERT INTO "metric" VALUES(3,'seconds',2,1.17631803999984185793e-01,NULL);
INSERT INTO "metric" VALUES(3,'seconds',3,2.76972354000008635921e-01,NULL);
INSERT INTO "metric" VALUES(3,'seconds',4,1.68909781999900587834e-01,NULL);
INSERT INTO "metric" VALUES(3,'train_accuracy',1,1.11111111111111104943e-01,NULL);
INSERT INTO "metric" VALUES(3,'train_accuracy',2,3.16666666666666651863e-01,NULL);
INSERT INTO "metric" VALUES(3,'train_accuracy',3,4.05555555555555558022e-01,NULL);
INSERT INTO "metric" VALUES(3,'train_accuracy',4,4.44444444444444419772e-01,NULL);
INSERT INTO "metric" VALUES(3,'train_loss',1,2.72253771358066121166e+00,NULL);
INSERT INTO "metric" VALUES(3,'train_loss',2,2.02149156994289835864e+00,NULL);
INSERT INTO "metric" VALUES(3,'train_loss',3,1.76104858981238465709e+00,NULL);
INSERT INTO "metric" VALUES(3,'train_loss',4,1.70606194337209071676e+00,NULL);
INSERT INTO "metric" VALUES(3,'val_accuracy',1,0.15,NULL);
INSERT INTO "metric" VALUES(3,'val_accuracy',2,2.66666666666666662965e-01,NULL);
INSERT INTO "metric" VALUES(3,'val_accuracy',3,2.83333333333333325931e-01,NULL);
INSERT INTO "metric" VALUES(3,'val_accuracy',4,3.16666666666666651863e-01,NULL);
INSERT INTO "metric" VALUES(3,'val_loss',1,2.72330021858215332031e+00,NULL);
INSERT INTO "metric" VALUES(3,'val_loss',2,2.13538193702697753906e+00,NULL);
INSERT INTO "metric" VALUES(3,'val_loss',3,1.94539868831634521484e+00,NULL);
INSERT INTO "metric" VALUES(3,'val_loss',4,1.84614789485931396484e+00,NULL);
INSERT INTO "metric" VALUES(4,'lr',1,6.68668951263357153047e-02,NULL);
INSERT INTO "metric" VALUES(4,'lr',2,4.05258423934803310717e-02,NULL);
INSERT INTO "metric" VALUES(4,'lr',3,1.25716157398356662144e-02,NULL);
INSERT INTO "metric" VALUES(4,'lr',4,7.52177935307354059504e-04,NULL);
INSERT INTO "metric" VALUES(4,'seconds',1,0.496880234000173,NULL);
INSERT INTO "metric" VALUES(4,'seconds',2,1.38431286000013642478e-01,NULL);
INSERT INTO "metric" VALUES(4,'seconds',3,2.06802706999951624311e-01,NULL);
INSERT INTO "metric" VALUES(4,'seconds',4,2.13069017999941934249e-01,NULL);
INSERT INTO "metric" VALUES(4,'train_accuracy',1,1.72222222222222220988e-01,NULL);
INSERT INTO "metric" VALUES(4,'train_accuracy',2,4.33333333333333348136e-01,NULL);
INSERT INTO "metric" VALUES(4,'train_accuracy',3,7.44444444444444464181e-01,NULL);
INSERT INTO "metric" VALUES(4,'train_accuracy',4,0.85,NULL);
INSERT INTO "metric" VALUES(4,'train_loss',1,2.5337132506900363893e+00,NULL);
INSERT INTO "metric" VALUES(4,'train_loss',2,1.7100228203667535709e+00,NULL);
INSERT INTO "metric" VALUES(4,'train_loss',3,1.29699732992384175744e+00,NULL);
INSERT INTO "metric" VALUES(4,'train_loss',4,1.14104111459520130011e+00,NULL);
INSERT INTO "metric" VALUES(4,'val_accuracy',1,1.66666666666666657414e-01,NULL);
INSERT INTO "metric" VALUES(4,'val_accuracy',2,0.45,NULL);
INSERT INTO "metric" VALUES(4,'val_accuracy',3,6.33333333333333303727e-01,NULL);
INSERT INTO "metric" VALUES(4,'val_accuracy',4,6.16666666666666696272e-01,NULL);
INSERT INTO "metric" VALUES(4,'val_loss',1,2.11868190765380859375e+00,NULL);
INSERT INTO "metric" VALUES(4,'val_loss',2,1.79574751853942871093e+00,NULL);
INSERT INTO "metric" VALUES(4,'val_loss',3,1.53884744644165039062e+00,NULL);
INSERT INTO "metric" VALUES(4,'val_loss',4,1.4501997232437133789e+00,NULL);
INSERT INTO "metric" VALUES(5,'gamma',1,-4.18452620506286621093e-01,NULL);
INSERT INTO "metric" VALUES(5,'gamma',2,-4.22354936599731445312e-01,NULL);
INSERT INTO "metric" VALUES(5,'lr',1,1.88696472265266587849e-03,NULL);
INSERT INTO "metric" VALUES(5,'lr',2,2.5075943158174965645e-05,NULL);
INSERT INTO "metric" VALUES(5,'seconds',1,8.89472516000068935682e-01,NULL);
INSERT INTO "metric" VALUES(5,'seconds',2,3.040497310000773723e-01,NULL);
INSERT INTO "metric" VALUES(5,'train_accuracy',1,7.14285714285714246063e-02,NULL);
INSERT INTO "metric" VALUES(5,'train_accuracy',2,3.57142857142857123031e-02,NULL);
INSERT INTO "metric" VALUES(5,'train_loss',1,3.27236363547188879863e+00,NULL);
INSERT INTO "metric" VALUES(5,'train_loss',2,2.99494776044573107753e+00,NULL);
INSERT INTO "metric" VALUES(5,'val_accuracy',1,0.125,NULL);
INSERT INTO "metric" VALUES(5,'val_accuracy',2,7.69230769230769134692e-02,NULL);
INSERT INTO "metric" VALUES(5,'val_h',1,0.0,NULL);
INSERT INTO "metric" VALUES(5,'val_h',2,0.0,NULL);
INSERT INTO "metric" VALUES(5,'val_loss',1,3.45743036270141601562e+00,NULL);
INSERT INTO "metric" VALUES(5,'val_loss',2,3.42124056816101074218e+00,NULL);
INSERT INTO "metric" VALUES(5,'val_roc_auc',1,7.16666666666666674068e-01,NULL);
INSERT INTO "metric" VALUES(5,'val_roc_auc',2,0.75,NULL);
INSERT INTO "metric" VALUES(6,'gamma',1,2.20363974571228027343e-01,NULL);
INSERT INTO "metric" VALUES(6,'gamma',2,1.92901968955993652343e-01,NULL);
INSERT INTO "metric" VALUES(6,'lr',1,1.3421162239901998376e-03,NULL);
INSERT INTO "metric" VALUES(6,'lr',2,1.78354315480425244808e-05,NULL);
INSERT INTO "metric" VALUES(6,'seconds',1,6.01374292000173227279e-01,NULL);
INSERT INTO "metric" VALUES(6,'seconds',2,1.8548093799995513109e-01,NULL);
INSERT INTO "metric" VALUES(6,'train_accuracy',1,6.42857142857142793701e-02,NULL);
INSERT INTO "metric" VALUES(6,'train_accuracy',2,7.85714285714285698425e-02,NULL);
INSERT INTO "metric" VALUES(6,'train_loss',1,3.1995942865099227248e+00,NULL);
INSERT INTO "metric" VALUES(6,'train_loss',2,3.03049845695495623232e+00,NULL);
INSERT INTO "metric" VALUES(6,'val_accuracy',1,3.84615384615384567346e-02,NULL);
INSERT INTO "metric" VALUES(6,'val_accuracy',2,3.84615384615384567346e-02,NULL);
INSERT INTO "metric" VALUES(6,'val_h',1,0.0,NULL);
INSERT INTO "metric" VALUES(6,'val_h',2,0.0,NULL);
INSERT INTO "metric" VALUES(6,'val_loss',1,3.36788034439086914062e+00,NULL);
INSERT INTO "metric" VALUES(6,'val_loss',2,3.36202955245971679687e+00,NULL);
INSERT INTO "metric" VALUES(6,'val_roc_auc',1,0.5,NULL);
INSERT INTO "metric" VALUES(6,'val_roc_auc',2,4.91666666666666696272e-01,NULL);
INSERT INTO "metric" VALUES(7,'lr',1,9.920451463563217942e-02,NULL);
INSERT INTO "metric" VALUES(7,'seconds',1,2.46302326999966680887e-01,NULL);
INSERT INTO "metric" VALUES(7,'train_accuracy',1,1.11111111111111104943e-01,NULL);
INSERT INTO "metric" VALUES(7,'train_loss',1,2.8989504072401257595e+00,NULL);
INSERT INTO "metric" VALUES(7,'val_accuracy',1,0.1,NULL);
INSERT INTO "metric" VALUES(7,'val_loss',1,3.04098343849182128906e+00,NULL);
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
INSERT INTO "process" VALUES(1,1,'vm',9959,'325f3f8c-c8c7-4223-905d-1fbac89aa38e','["__main__.py","search","classify.toml"]',NULL,NULL,'{"archsieve":"0.1.0","python":"3.11.7","torch":"2.14.1","torchvision":"0.29.2","ray":"2.60.0","optuna":"5.0.0","numpy":"2.4.6","scikit-learn":"1.9.1","sqlalchemy":"2.1.9"}','["2 x x86_64"]','{"process_started":176486,"pid_namespace":"pid:[4026531836]"}','2026-11-29 05:40:07.724070','2026-11-29 05:40:27.746391','2026-11-29 05:40:46.825669','finished');
INSERT INTO "process" VALUES(2,2,'vm',10456,'325f3f8c-c8c7-4223-905d-1fbac89aa38e','["__main__.py","search","zero_shot.toml"]',NULL,NULL,'{"archsieve":"0.1.0","python":"3.11.7","torch":"2.14.1","torchvision":"0.29.2","ray":"2.60.0","optuna":"5.0.0","numpy":"2.4.6","scikit-learn":"1.9.1","sqlalchemy":"2.1.9"}','["2 x x86_64"]','{"process_started":181181,"pid_namespace":"pid:[4026531836]"}','2026-11-29 05:40:54.622197','2026-11-29 05:41:54.864451','2026-11-29 05:42:00.546961','finished');
INSERT INTO "process" VALUES(3,3,'vm',11266,'325f3f8c-c8c7-4223-905d-1fbac89aa38e','["__main__.py","search","interrupted.toml"]',NULL,NULL,'{"archsieve":"0.1.0","python":"3.11.7","torch":"2.14.1","torchvision":"0.29.2","ray":"2.60.0","optuna":"5.0.0","numpy":"2.4.6","scikit-learn":"1.9.1","sqlalchemy":"2.1.9"}','["2 x x86_64"]','{"process_started":190093,"pid_namespace":"pid:[4026531836]"}','2026-11-29 05:42:25.865390','2026-11-29 05:42:45.911248','2026-11-29 05:42:53.705313','stopped');
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
INSERT INTO "run" VALUES(1,'classify','finished','{"name":"classify","data":{"name":"digits","path":null,"image_size":null,"val_fraction":0.2,"test_fraction":0.2,"seed":0,"download":false,"limit":300,"texts":null,"unseen_fraction":0.2,"seen":null,"unseen":null},"budget":{"params":"5k","macs":"400k"},"space":{"name":null,"stages":[{"block":["conv-pool","residual"],"width":[8,12],"depth":[1,2],"kernel":3,"halve":true},{"block":"inception","width":[8,16],"depth":1,"kernel":3,"halve":true}],"contrast":false,"stem":[4,8],"backbone":null,"written":null,"weights":null,"frozen":true,"features":null},"recipe":{"epochs":4,"batch_size":[32,64],"lr":{"low":0.03,"high":0.3,"log":true},"dropout":[0.0,0.1]},"search":{"searcher":"evolution","objectives":null,"start_from":[],"scheduler":"asha","trials":4,"seed":1,"grace_epochs":2,"reduction_factor":3,"brackets":null,"folds":null,"cache":false,"warm_start":[],"trial_timeout_s":null,"proxies":[],"warmup":null},"zero_shot":{"baselines":null,"programme":false,"explained":6},"latency":{"batch_size":1,"warmup":3,"n":50,"calibration":16},"resources":{"cpus_per_trial":1,"gpus_per_trial":0.0,"max_concurrent":null,"checkpoints":null,"node_timeout_s":600,"precision":"fp32"}}','evolution',1,'4569a02e6f1e128c608c2985a3a75af9f24bf531f4233351e38cc8153e934baa','0.1.0','2026-11-29 05:40:07.716920','2026-11-29 05:40:46.826357');
INSERT INTO "run" VALUES(2,'zero-shot','finished','{"name":"zero-shot","data":{"name":"glyphs","path":null,"image_size":null,"val_fraction":0.2,"test_fraction":0.2,"seed":0,"download":false,"limit":400,"texts":null,"unseen_fraction":0.2,"seen":null,"unseen":null},"budget":{"params":"20k","macs":"2M"},"space":{"name":null,"stages":[{"block":["conv-pool","residual"],"width":[8,12],"depth":1,"kernel":3,"halve":true},{"block":"conv-pool","width":[12,16],"depth":1,"kernel":3,"halve":true}],"contrast":false,"stem":null,"backbone":null,"written":null,"weights":null,"frozen":true,"features":16},"recipe":{"epochs":2,"batch_size":128,"form":["fc","fc+conv"],"text":"tfidf","k":[16,24],"hidden":32,"filters":4,"loss":"softmax","similarity":"cosine","calibration":"posterior","optimizer":"adam","lr":{"low":0.001,"high":0.01,"log":true}},"search":{"searcher":"random","objectives":null,"start_from":[],"scheduler":"none","trials":2,"seed":0,"grace_epochs":1,"reduction_factor":3,"brackets":null,"folds":null,"cache":true,"warm_start":[],"trial_timeout_s":null,"proxies":[],"warmup":null},"zero_shot":{"baselines":null,"programme":false,"explained":6},"latency":{"batch_size":1,"warmup":3,"n":50,"calibration":16},"resources":{"cpus_per_trial":1,"gpus_per_trial":0.0,"max_concurrent":null,"checkpoints":null,"node_timeout_s":600,"precision":"fp32"}}','random',0,'290ef857b9850b7554987e179b3c029eff1522069c8167abf577dc491d5ada5f','0.1.0','2026-11-29 05:40:54.615626','2026-11-29 05:42:00.548006');
INSERT INTO "run" VALUES(3,'interrupted','stopped','{"name":"interrupted","data":{"name":"digits","path":null,"image_size":null,"val_fraction":0.2,"test_fraction":0.2,"seed":0,"download":false,"limit":300,"texts":null,"unseen_fraction":0.2,"seen":null,"unseen":null},"budget":{"params":"5k","macs":"400k"},"space":{"name":null,"stages":[{"block":["conv-pool","residual"],"width":[8,12],"depth":[1,2],"kernel":3,"halve":true},{"block":"inception","width":[8,16],"depth":1,"kernel":3,"halve":true}],"contrast":false,"stem":[4,8],"backbone":null,"written":null,"weights":null,"frozen":true,"features":null},"recipe":{"epochs":12,"batch_size":[32,64],"lr":{"low":0.03,"high":0.3,"log":true},"dropout":[0.0,0.1]},"search":{"searcher":"random","objectives":null,"start_from":[],"scheduler":"none","trials":2,"seed":1,"grace_epochs":1,"reduction_factor":3,"brackets":null,"folds":null,"cache":false,"warm_start":[],"trial_timeout_s":null,"proxies":[],"warmup":null},"zero_shot":{"baselines":null,"programme":false,"explained":6},"latency":{"batch_size":1,"warmup":3,"n":50,"calibration":16},"resources":{"cpus_per_trial":1,"gpus_per_trial":0.0,"max_concurrent":null,"checkpoints":null,"node_timeout_s":600,"precision":"fp32"}}','random',1,'4569a02e6f1e128c608c2985a3a75af9f24bf531f4233351e38cc8153e934baa','0.1.0','2026-11-29 05:42:25.855254','2026-11-29 05:42:53.706000');
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
INSERT INTO "trial" VALUES(1,1,0,'stopped_early','357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff','{"2":0,"1.conv.width":1,"2.conv-pool.width":0,"2.conv-pool.convs":0,"3.1.inception.width":1}','{"epochs":4,"batch_size":64,"optimizer":"sgd","lr":0.1,"momentum":0.9,"nesterov":true,"weight_decay":0.0005,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.1,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false}',1811672217,1482,51008,1402,1064824,2,2,0.1,2.54982995986938476562e+00,2.66666666666666662965e-01,2.12298959096272765734e+00,NULL,1.2451185000372788636e+00,NULL,NULL,'2026-11-29 05:40:13.315587','2026-11-29 05:40:42.451337','2026-11-29 05:40:43.327659','cpu',0.876275,NULL);
INSERT INTO "trial" VALUES(2,1,1,'completed','561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5','{"2":1,"1.conv.width":0,"2.residual.times":0,"2.residual.residual.width":1,"3.1.inception.width":0}','{"epochs":4,"batch_size":32,"optimizer":"sgd","lr":0.2236684421943403,"momentum":0.9,"nesterov":true,"weight_decay":0.0005,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.0,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false}',736184225,2223,34272,1034,727604,4,4,3.66666666666666640761e-01,1.70235788822174072265e+00,5.3888888888888886175e-01,1.45864530404408765384e+00,0.45,6.18292849992485571419e+00,NULL,NULL,'2026-11-29 05:40:13.349971','2026-11-29 05:40:41.349916','2026-11-29 05:40:43.293091','cpu',1.943118,NULL);
INSERT INTO "trial" VALUES(3,1,2,'completed','1b003ba9f023e3af8dd24f25731e399bc60f10b1cdfc6d93821066ed54cdce5d','{"2":1,"1.conv.width":0,"2.residual.times":0,"2.residual.residual.width":0,"3.1.inception.width":1}','{"epochs":4,"batch_size":64,"optimizer":"sgd","lr":0.18458128714466426,"momentum":0.9,"nesterov":true,"weight_decay":0.0005,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.1,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false}',1198175835,1790,26176,1018,740840,4,4,3.16666666666666651863e-01,1.84614789485931396484e+00,4.44444444444444419772e-01,1.70606194337209071676e+00,0.45,2.2769485000253553153e+00,NULL,NULL,'2026-11-29 05:40:43.309293','2026-11-29 05:40:43.428387','2026-11-29 05:40:44.864633','cpu',1.436206,NULL);
INSERT INTO "trial" VALUES(4,1,3,'completed','8409f0c4e4104f86458aeb8d31264fb4964b10fdab44b3ad9c573a2acafb83ca','{"2":1,"1.conv.width":1,"2.residual.times":0,"2.residual.residual.width":1,"3.1.inception.width":1}','{"epochs":4,"batch_size":32,"optimizer":"sgd","lr":0.0752177935307354,"momentum":0.9,"nesterov":true,"weight_decay":0.0005,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.0,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false}',930415258,3270,51072,1466,1020744,4,3,6.33333333333333303727e-01,1.53884744644165039062e+00,7.44444444444444464181e-01,1.29699732992384175744e+00,5.33333333333333325931e-01,6.22074799991878535365e+00,NULL,NULL,'2026-11-29 05:40:43.338393','2026-11-29 05:40:43.468344','2026-11-29 05:40:45.230255','cpu',1.761863,NULL);
INSERT INTO "trial" VALUES(5,2,0,'completed','08e0dd1695fc9b0027ca8e6f2743737e48826f3f255552f605b245667fd730fe','{"1":0,"1.conv-pool.width":1,"2.conv-pool.width":0}','{"epochs":2,"batch_size":128,"optimizer":"adam","lr":0.0025075943158174964,"momentum":0.9,"nesterov":true,"weight_decay":0.0,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.0,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false,"form":"fc+conv","text":"tfidf","k":24,"hidden":32,"filters":4,"filter_size":3,"loss":"softmax","similarity":"cosine","calibration":"posterior"}',1250309643,1660,442560,15376,22185424,2,1,0.125,3.45743036270141601562e+00,7.14285714285714246063e-02,3.27236363547188879863e+00,NULL,1.6430260001243368606e+00,NULL,NULL,'2026-11-29 05:41:01.274904','2026-11-29 05:41:30.271674','2026-11-29 05:41:31.735618','cpu',1.463879,NULL);
INSERT INTO "trial" VALUES(6,2,1,'completed','f17b6c09a6036a9f8a944cbe0fbb82f7cfd7ced2e60ebbcdf8b62f827543175e','{"1":0,"1.conv-pool.width":0,"2.conv-pool.width":1}','{"epochs":2,"batch_size":128,"optimizer":"adam","lr":0.0017835431548042524,"momentum":0.9,"nesterov":true,"weight_decay":0.0,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.0,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false,"form":"fc+conv","text":"tfidf","k":24,"hidden":32,"filters":4,"filter_size":3,"loss":"softmax","similarity":"cosine","calibration":"posterior"}',2062984729,1544,368896,12304,17860704,2,2,3.84615384615384567346e-02,3.36202955245971679687e+00,7.85714285714285698425e-02,3.03049845695495623232e+00,NULL,3.15881450001143093686e+00,NULL,NULL,'2026-11-29 05:41:01.296124','2026-11-29 05:41:30.604058','2026-11-29 05:41:31.688959','cpu',1.084852,NULL);
INSERT INTO "trial" VALUES(7,3,0,'interrupted','357c855792869f9a0e8ece13f4919d04a0e8b2ae958603daabe90a67f68217ff','{"2":0,"1.conv.width":1,"2.conv-pool.width":0,"2.conv-pool.convs":0,"3.1.inception.width":1}','{"epochs":12,"batch_size":64,"optimizer":"sgd","lr":0.1,"momentum":0.9,"nesterov":true,"weight_decay":0.0005,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.1,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false}',1811672217,1482,51008,1402,1064824,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'the process that drove its run ended','2026-11-29 05:42:33.233758','2026-11-29 05:42:51.738828',NULL,'cpu',0.299656,NULL);
INSERT INTO "trial" VALUES(8,3,1,'interrupted','561524fc5586ac666417f0dd6c732a93dbdaf328064dd729fc3ff2f136431dd5','{"2":1,"1.conv.width":0,"2.residual.times":0,"2.residual.residual.width":1,"3.1.inception.width":0}','{"epochs":12,"batch_size":32,"optimizer":"sgd","lr":0.2236684421943403,"momentum":0.9,"nesterov":true,"weight_decay":0.0005,"decay_norms":false,"schedule":"cosine","lr_end":0.01,"warmup_epochs":0.0,"dropout":0.0,"label_smoothing":0.0,"augmentation":"none","rotation_degrees":0.0,"jitter":0.0,"noise_std":0.0,"elastic_alpha_px":0.0,"elastic_sigma_px":4.0,"dropconnect":0.0,"l1":0.0,"activation_l1":0.0,"init":"he","averaging":"none","ema_decay":0.99,"swa_start":0.75,"auxiliary":"none","auxiliary_weight":0.1,"find_lr":false}',736184225,2223,34272,1034,727604,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'the process that drove its run ended','2026-11-29 05:42:33.263143','2026-11-29 05:42:51.858027',NULL,NULL,0.0,NULL);
CREATE UNIQUE INDEX process_lease ON process (run_id) WHERE ended_at IS NULL;
CREATE INDEX trial_fingerprint ON trial (fingerprint);
CREATE INDEX trial_merit ON trial (val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes, latency_ms) WHERE val_accuracy IS NOT NULL;
CREATE INDEX trial_merit_in_run ON trial (run_id, val_accuracy DESC, params, macs, trial_id, state, run_id, activations, memory_bytes, latency_ms) WHERE val_accuracy IS NOT NULL;
CREATE INDEX trial_scan ON trial (run_id, trial_id, state, params, macs, val_accuracy, epochs_done, number, activations, memory_bytes, latency_ms, val_loss, train_accuracy, train_loss, best_epoch, duration_s, seed, fail_kind, device, source_trial_id, created_at, started_at, ended_at, fingerprint);
CREATE INDEX event_of_run ON event (run_id, at);
CREATE INDEX measurement_of_run ON measurement (run_id, trial_id);
COMMIT;
