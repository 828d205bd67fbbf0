-- Telemetry in the order of its time, whatever is asked for, at the cost of what is shown.

-- One agent's records by their time. What else a list is limited to (customer, plant, site) is a choice of agents.
CREATE INDEX records_by_time ON records (agent, at, epoch, seq);

-- In which hours there is anything of a kind or an app. Written once an hour and sum.
CREATE INDEX usage_of_kind ON usage_hourly (site, kind, hour);
CREATE INDEX usage_of_app ON usage_hourly (site, app, hour);
CREATE INDEX usage_of_both ON usage_hourly (site, kind, app, hour);

CREATE INDEX measurements_of_app ON measurements (app, at);
CREATE INDEX measurements_of_site_group ON measurements (site, data_group, at);
CREATE INDEX measurements_flagged_at_site ON measurements (site, at) WHERE flagged = 1;
CREATE INDEX measurements_flagged_of_customer ON measurements (customer, at) WHERE flagged = 1;

-- Sums of one customer or site, in the order of their hours.
CREATE INDEX series_of_customer ON series_hourly (data_group, customer, hour);
CREATE INDEX series_of_site ON series_hourly (data_group, site, hour);
