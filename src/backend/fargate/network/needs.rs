//! What Fargate fetches for a task through the task's own network interface, by its definition.

use crate::backend::fargate::config::Config;
use serde_json::Value;
use std::collections::BTreeSet;

/// Registries that are on the internet alone. Others may be anywhere: ECR Public has an endpoint for its API in one region.
const PUBLIC: [&str; 3] = ["docker.io", "quay.io", "ghcr.io"];

/// By where it is reached.
#[derive(Debug, Default, PartialEq)]
pub struct Needs {
    /// The account of the definition, which is the tasks'.
    pub account: String,
    /// AWS's services as endpoints are named, after `com.amazonaws.`: "eu-west-1.ecr.api".
    pub services: BTreeSet<String>,
    /// Images of registries that are on the internet.
    pub public_images: Vec<String>,
    /// Images of registries that may be anywhere.
    pub other_images: Vec<String>,
}

impl Needs {
    /// Of what DescribeTaskDefinition answered. "Considerations for Fargate" in the ECS Developer Guide, "Amazon ECS interface VPC
    /// endpoints": ECR's for its images, CloudWatch Logs' for awslogs, Secrets Manager's and Systems Manager's for secrets.
    pub fn of(described: &Value, config: &Config, region: &str) -> Self {
        let definition = &described["taskDefinition"];
        let arn = definition["taskDefinitionArn"].as_str().unwrap_or_default();
        let mut needs = Self {
            account: arn.split(':').nth(4).unwrap_or_default().to_owned(),
            ..Self::default()
        };
        let containers = definition["containerDefinitions"].as_array();
        for container in containers.into_iter().flatten() {
            needs.add_image(container["image"].as_str().unwrap_or_default());
            let log = &container["logConfiguration"];
            if log["logDriver"] == "awslogs" {
                let there = log["options"]["awslogs-region"].as_str();
                needs.add("logs", there.unwrap_or(region));
            }
            if container["repositoryCredentials"].is_object() {
                needs.add("secretsmanager", region);
            }
            for list in [&container["secrets"], &log["secretOptions"]] {
                for secret in list.as_array().into_iter().flatten() {
                    needs.add_secret(secret["valueFrom"].as_str().unwrap_or_default(), region);
                }
            }
        }
        if config.keeps_tokens() {
            needs.add("secretsmanager", region);
        }
        needs
    }

    fn add(&mut self, service: &str, region: &str) {
        self.services.insert(format!("{region}.{service}"));
    }

    /// "Secret" in the ECS API Reference: an ARN of either service, or the name of a parameter.
    fn add_secret(&mut self, from: &str, region: &str) {
        let mut arn = from.split(':').skip(2);
        let (service, there) = (arn.next(), arn.next());
        match service {
            Some("secretsmanager") => self.add("secretsmanager", there.unwrap_or(region)),
            _ => self.add("ssm", there.unwrap_or(region)),
        }
    }

    /// "Amazon ECR interface VPC endpoints" in the ECR User Guide: `ecr.dkr` and `ecr.api`, and S3, where the layers are.
    fn add_image(&mut self, image: &str) {
        let registry = registry(image);
        if let Some(region) = ecr_region(registry) {
            for service in ["ecr.api", "ecr.dkr", "s3"] {
                self.add(service, region);
            }
        } else if PUBLIC.contains(&registry) {
            self.public_images.push(image.to_owned());
        } else {
            self.other_images.push(image.to_owned());
        }
    }

    /// Whether something is fetched by https for certain.
    pub fn need_https(&self) -> bool {
        !self.services.is_empty() || !self.public_images.is_empty()
    }

    /// The services, for a person.
    pub fn told(&self) -> String {
        if self.services.is_empty() {
            return "what the task needs".to_owned();
        }
        let names: Vec<&str> = self.services.iter().map(String::as_str).collect();
        names.join(", ")
    }
}

/// The first part of an image's name is its registry where it looks like a host's ("Reference" in the distribution project's
/// grammar), else the image is Docker Hub's.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// ACCOUNT.dkr.ecr.REGION.amazonaws.com, also of China, and ACCOUNT.dkr-ecr.REGION.on.aws ("Amazon ECR endpoints and quotas").
fn ecr_region(registry: &str) -> Option<&str> {
    let (_, rest) = registry
        .split_once(".dkr.ecr.")
        .or_else(|| registry.split_once(".dkr-ecr."))?;
    let (region, domain) = rest.split_once('.')?;
    ["amazonaws.com", "amazonaws.com.cn", "on.aws"]
        .contains(&domain)
        .then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn needs(container: &Value) -> Needs {
        let described = json!({"taskDefinition": {"containerDefinitions": [container]}});
        Needs::of(&described, &Config::default(), "eu-west-1")
    }

    #[test]
    fn an_image_of_ecr_needs_three_endpoints_of_the_images_own_region() {
        for registry in [
            "123456789012.dkr.ecr.eu-north-1.amazonaws.com",
            "123456789012.dkr-ecr.eu-north-1.on.aws",
        ] {
            let found = needs(&json!({"image": format!("{registry}/lab:2")}));
            let wanted = ["ecr.api", "ecr.dkr", "s3"].map(|name| format!("eu-north-1.{name}"));
            assert_eq!(found.services, BTreeSet::from(wanted));
        }
    }

    #[test]
    fn an_image_of_a_public_registry_is_told_from_one_that_may_be_anywhere() {
        for image in [
            "jupyter/base:1",
            "base",
            "docker.io/a/b",
            "quay.io/a/b@sha256:0",
        ] {
            assert_eq!(needs(&json!({"image": image})).public_images, [image]);
        }
        for image in ["public.ecr.aws/a/b", "registry.lan:5000/a", "localhost/a"] {
            assert_eq!(needs(&json!({"image": image})).other_images, [image]);
        }
    }

    #[test]
    fn logs_and_secrets_need_the_service_that_they_name_in_the_region_that_they_name() {
        let found = needs(
            &json!({"image": "i", "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-region": "us-east-1"}},
            "secrets": [{"name": "A", "valueFrom": "arn:aws:secretsmanager:eu-west-2:1:secret:a"}, {"name": "B", "valueFrom": "/b"},
                {"name": "C", "valueFrom": "arn:aws:ssm:eu-west-3:1:parameter/c"}]}),
        );
        let wanted = [
            "eu-west-1.ssm",
            "eu-west-2.secretsmanager",
            "eu-west-3.ssm",
            "us-east-1.logs",
        ];
        assert_eq!(found.services, BTreeSet::from(wanted.map(str::to_owned)));
    }
}
