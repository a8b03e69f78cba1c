%% @doc `GET /openapi.json': the description of the routes, from `priv/openapi.json'.
-module(ml_cluster_http_openapi).

-export([description/1]).

-spec description(ml_cluster_http:request()) -> ml_cluster_http:response().
description(_) ->
    {ok, Text} = file:read_file(filename:join(code:priv_dir(ml_cluster), "openapi.json")),
    #{
        status => 200,
        headers => [{<<"content-type">>, <<"application/json">>}],
        body => Text
    }.
