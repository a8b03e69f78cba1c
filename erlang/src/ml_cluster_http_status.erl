%% @doc `GET /cluster', `GET /metrics', `GET /health'.
-module(ml_cluster_http_status).

-export([cluster/1, metrics/1, health/1]).

%% @doc Each worker with what it says of itself.
-spec cluster(ml_cluster_http:request()) -> ml_cluster_http:response().
cluster(_) ->
    #{this_node := Node, workers := Workers, total_nodes := Total} = ml_cluster:status(),
    ml_cluster_http_body:json(200, #{
        this_node => Node,
        gpu_nodes => [worker(Worker) || Worker <- Workers],
        total_nodes => Total
    }).

worker(#{info := Info} = Worker) ->
    maps:merge(Info, (known(Worker))#{status => online});
worker(#{error := Reason} = Worker) ->
    (known(Worker))#{status => offline, error => why(Reason)}.

known(Worker) -> maps:with([node, role, state, load, in_flight], Worker).

why(none) -> <<"not reached yet">>;
why(Reason) -> unicode:characters_to_binary(io_lib:format("~0tp", [Reason])).

%% @doc Counters, as JSON, or as Prometheus text for a scraper.
-spec metrics(ml_cluster_http:request()) -> ml_cluster_http:response().
metrics(#{headers := Headers}) ->
    case ml_cluster_prometheus:negotiate(maps:get(<<"accept">>, Headers, <<>>)) of
        {ok, Format} ->
            #{
                status => 200,
                headers => [{<<"content-type">>, ml_cluster_prometheus:content_type(Format)}],
                body => ml_cluster_prometheus:text(Format)
            };
        none ->
            ml_cluster_http_body:json(200, ml_cluster:metrics())
    end.

%% @doc 200 while a worker is up, the local one included.
-spec health(ml_cluster_http:request()) -> ml_cluster_http:response().
health(_) ->
    Up = length(ml_cluster_table:up(remote)) + length(ml_cluster_table:up(local)),
    case {ml_cluster_drain:is_draining(), Up} of
        {true, _} -> throw({http, draining});
        {false, 0} -> throw({http, no_workers});
        _ -> ml_cluster_http_body:json(200, #{status => ok, workers => Up})
    end.
