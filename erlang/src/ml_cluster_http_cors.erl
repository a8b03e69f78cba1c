%% @doc Which pages of other origins a browser lets read our answers: those that the configuration's
%% `http' names under `cors'. By default none. Pure but for the configuration.
-module(ml_cluster_http_cors).

-export([headers/1]).

%% @doc The headers that tell a browser so.
-spec headers(ml_cluster_http:head()) -> [{binary(), iodata()}].
headers(#{headers := #{<<"origin">> := Origin}} = Request) ->
    case allowed(Origin, maps:get(cors, http(), [])) of
        false -> [];
        Allowed -> [{<<"access-control-allow-origin">>, Allowed} | details(Allowed, Request)]
    end;
headers(_) ->
    [].

%% Under another server's listener the configuration may have no HTTP of ours.
http() ->
    case ml_cluster_config:get(http, false) of
        false -> #{};
        Http -> Http
    end.

allowed(_, any) -> <<"*">>;
allowed(Origin, Origins) -> lists:member(Origin, Origins) andalso Origin.

details(Allowed, #{method := Method}) ->
    vary(Allowed) ++ [{<<"access-control-expose-headers">>, <<"x-request-id, retry-after">>}] ++
        preflight(Method).

%% What a cache keeps is for this origin alone.
vary(<<"*">>) -> [];
vary(_) -> [{<<"vary">>, <<"origin">>}].

preflight(<<"OPTIONS">>) ->
    [
        {<<"access-control-allow-methods">>, <<"GET, HEAD, POST">>},
        {<<"access-control-allow-headers">>,
            <<"authorization, content-type, x-request-id, x-timeout-ms, traceparent">>},
        {<<"access-control-max-age">>, <<"600">>}
    ];
preflight(_) ->
    [].
