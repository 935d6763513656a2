// SPDX-License-Identifier: Apache-2.0

// main PORT ISSUER AUDIENCE: whoami behind a bearer token, with the official Rust SDK in axum and
// jsonwebtoken, each as its documentation shows. Stateless, answers as JSON, one thread.
use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::{from_fn_with_state, Next},
    response::{IntoResponse, Response},
    Router,
};
use http::{header, request::Parts, StatusCode};
use jsonwebtoken::{decode, decode_header, jwk::JwkSet, Algorithm, DecodingKey, Validation};
use rmcp::{
    handler::server::tool::Extension,
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        session::never::NeverSessionManager, StreamableHttpServerConfig, StreamableHttpService,
    },
    Json, ServerHandler,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    scope: String,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Caller {
    issuer: String,
    subject: String,
    scopes: Vec<String>,
}

struct Verifier {
    keys: Vec<(String, DecodingKey)>,
    validation: Validation,
}

impl Verifier {
    async fn new(issuer: &str, audience: &str) -> Self {
        let set: JwkSet = reqwest::get(format!("{issuer}/jwks.json")).await.unwrap().json().await.unwrap();
        let keys = set.keys.iter().map(|key| (key.common.key_id.clone().unwrap_or_default(), DecodingKey::from_jwk(key).unwrap()));
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        Verifier { keys: keys.collect(), validation }
    }

    fn verify(&self, token: &str) -> Option<Claims> {
        let kid = decode_header(token).ok()?.kid?;
        let (_, key) = self.keys.iter().find(|(id, _)| *id == kid)?;
        Some(decode::<Claims>(token, key, &self.validation).ok()?.claims)
    }
}

async fn guard(State(verifier): State<Arc<Verifier>>, mut request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(claims) = token.and_then(|token| verifier.verify(token)) else {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")]).into_response();
    };
    if !claims.scope.split(' ').any(|scope| scope == "read") {
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"read\"";
        return (StatusCode::FORBIDDEN, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    request.extensions_mut().insert(claims);
    next.run(request).await
}

#[derive(Clone)]
struct Peer;

#[tool_router]
impl Peer {
    #[tool(description = "Who you are")]
    async fn whoami(&self, Extension(parts): Extension<Parts>) -> Result<Json<Caller>, String> {
        let claims = parts.extensions.get::<Claims>().ok_or("no claims")?;
        Ok(Json(Caller {
            issuer: claims.iss.clone(),
            subject: claims.sub.clone(),
            scopes: claims.scope.split(' ').map(String::from).collect(),
        }))
    }
}

#[tool_handler]
impl ServerHandler for Peer {}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [port, issuer, audience] = std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
    let verifier = Arc::new(Verifier::new(&issuer, &audience).await);
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = false;
    config.json_response = true;
    let service = StreamableHttpService::new(|| Ok(Peer), Arc::new(NeverSessionManager::default()), config);
    let app = Router::new().nest_service("/mcp", service).layer(from_fn_with_state(verifier, guard));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    axum::serve(listener, app).await.unwrap();
}
