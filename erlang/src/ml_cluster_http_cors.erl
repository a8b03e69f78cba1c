%% @doc Which pages of other origins a browser lets read our answers: those that the configuration's
%% `http' names under `cors'. By default none. Pure but for the configuration.
-module(ml_cluster_http_cors).

-export([headers/1]).

%% @doc The headers that tell a browser so.
-spec headers(ml_cluster_http:head()) -> [{binary(), iodata()}].
headers(#{headers := #{<<"origin">> := Origin}} = Request) ->
    case allowed(Origin, maps:get(cors, http(), [])) of
        %% Another origin's answer would differ.
        false -> vary(Origin);
        Allowed -> [{<<"access-control-allow-origin">>, Allowed} | details(Allowed, Request)]
    end;
headers(_) ->
    [].

%% Under another server's listener the configuration may have no `http'; `adapter => none' is one.
http() ->
    case ml_cluster_config:get(http, false) of
        false -> #{};
        Http -> Http
    end.

allowed(_, any) -> <<"*">>;
allowed(Origin, Origins) -> lists:member(Origin, Origins) andalso Origin.

details(Allowed, Request) ->
    vary(Allowed) ++ [{<<"access-control-expose-headers">>, <<"x-request-id, retry-after">>}] ++
        preflight(Request).

%% What a cache keeps is for this origin alone.
vary(<<"*">>) -> [];
vary(_) -> [{<<"vary">>, <<"origin">>}].

preflight(#{method := <<"OPTIONS">>, headers := Headers}) ->
    [
        {<<"access-control-allow-methods">>, <<"GET, HEAD, POST">>},
        {<<"access-control-allow-headers">>, allowed_headers(Headers)},
        {<<"access-control-max-age">>, <<"600">>}
    ];
preflight(_) ->
    [].

%% Those that are asked for: clients (OpenAI's in a browser) send some of their own, which we ignore.
allowed_headers(#{<<"access-control-request-headers">> := Asked}) ->
    case re:run(Asked, "^[A-Za-z0-9_, -]{1,1024}\\z", [{capture, none}]) of
        match -> Asked;
        nomatch -> usual_headers()
    end;
allowed_headers(_) ->
    usual_headers().

usual_headers() -> <<"authorization, content-type, x-request-id, x-timeout-ms, traceparent">>.
