%% @doc The page that shows the cluster live, and the files it is made of. They are in priv/page,
%% served as they stand there: no build step, nothing from another host.
%%
%% A browser cannot send an API key before a page has asked for one, so the files are open: they say
%% nothing of the cluster. Without a key `GET /' is 401, as everywhere; its body is the page, which
%% asks for the key.
-module(ml_cluster_http_page).

-export([index/1, file/1, paths/0]).

%% Names are looked up here, never joined to a path that a client sent.
files() ->
    #{
        <<"/ui/main.js">> => {"main.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/client.js">> => {"client.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/format.js">> => {"format.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/history.js">> => {"history.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/metrics.js">> => {"metrics.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/totals.js">> => {"totals.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/try.js">> => {"try.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/workers.js">> => {"workers.js", <<"text/javascript; charset=utf-8">>},
        <<"/ui/page.css">> => {"page.css", <<"text/css; charset=utf-8">>},
        <<"/ui/icon.svg">> => {"icon.svg", <<"image/svg+xml">>}
    }.

%% @doc The paths of the files.
-spec paths() -> [binary()].
paths() -> maps:keys(files()).

%% @doc `GET /'.
-spec index(ml_cluster_http:request()) -> ml_cluster_http:response().
index(#{headers := Headers}) ->
    Page = served("index.html", <<"text/html; charset=utf-8">>),
    Given = maps:get(<<"authorization">>, Headers, undefined),
    case ml_cluster_auth:allows(ml_cluster_config:get(api_keys, any), Given) of
        true -> Page;
        false -> needs_key(Page)
    end.

needs_key(#{headers := Headers} = Page) ->
    Page#{status := 401, headers := [{<<"www-authenticate">>, <<"Bearer">>} | Headers]}.

%% @doc `GET /ui/NAME'.
-spec file(ml_cluster_http:request()) -> ml_cluster_http:response().
file(#{path := Path}) ->
    case files() of
        #{Path := {Name, Type}} -> served(Name, Type);
        _ -> throw({http, {not_found, Path}})
    end.

served(Name, Type) ->
    {ok, Body} = file:read_file(filename:join([code:priv_dir(ml_cluster), "page", Name])),
    #{status => 200, headers => [{<<"content-type">>, Type} | guards()], body => Body}.

guards() ->
    [
        {<<"content-security-policy">>, <<
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        >>},
        {<<"x-content-type-options">>, <<"nosniff">>},
        {<<"referrer-policy">>, <<"no-referrer">>},
        %% Asked for again each time: an upgraded front must not meet an old script.
        {<<"cache-control">>, <<"no-cache">>}
    ].
