// Front Door Premium in front of an ingress tier in several regions, and what the publisher of each region needs: an identity
// for its pod, the least roles, and the container in which the publishers meet. Deploy it to the resource group of the edge:
//
//   az deployment group create --resource-group edge --template-file deploy/azure/main.bicep --parameters @deploy/azure/main.parameters.json
targetScope = 'resourceGroup'

@description('Name of the Front Door profile: front_door.profile.name.')
@minLength(1)
@maxLength(90)
param profileName string

@description('Name of the origin group: front_door.profile.origin_group.')
param originGroupName string = 'storefront'

@description('The service whose regions Front Door should know of: its name in portolan.yaml.')
param service string = 'storefront'

@description('The regions of the tier. Each has: name (region and vantage), origin (its name in Front Door), hostName, privateLinkService (resource id), priority, weight, issuer (OIDC issuer of its cluster).')
@minLength(1)
param regions array

@description('Namespace of the release.')
param namespace string = 'portolan'

@description('Service account of the publisher.')
param serviceAccount string = 'portolan-publisher'

@description('Name of the storage account in which the publishers meet.')
@minLength(3)
@maxLength(24)
param storageAccountName string

@description('Where the storage account and the identities are.')
param location string = resourceGroup().location

@description('Seconds between two probes of an edge.')
@minValue(1)
@maxValue(255)
param probeInterval int = 30

// Storage Blob Data Contributor: reading, writing and leasing blobs.
var blobRole = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')

// Where the roles may be assigned.
var edge = resourceGroup().id

resource profile 'Microsoft.Cdn/profiles@2024-02-01' = {
  name: profileName
  location: 'global'
  sku: {
    name: 'Premium_AzureFrontDoor'
  }
  properties: {
    originResponseTimeoutSeconds: 60
  }
}

resource endpoint 'Microsoft.Cdn/profiles/afdEndpoints@2024-02-01' = {
  parent: profile
  name: profileName
  location: 'global'
  properties: {
    enabledState: 'Enabled'
  }
}

resource group 'Microsoft.Cdn/profiles/originGroups@2024-02-01' = {
  parent: profile
  name: originGroupName
  properties: {
    healthProbeSettings: {
      probePath: '/.portolan/probe/${service}'
      probeRequestType: 'HEAD'
      probeProtocol: 'Http'
      probeIntervalInSeconds: probeInterval
    }
    loadBalancingSettings: {
      sampleSize: 4
      successfulSamplesRequired: 3
      additionalLatencyInMilliseconds: 50
    }
    sessionAffinityState: 'Disabled'
  }
}

resource origins 'Microsoft.Cdn/profiles/originGroups/origins@2024-02-01' = [for region in regions: {
  parent: group
  name: region.origin
  properties: {
    hostName: region.hostName
    // No originHostHeader: the tier gets the client's, which its routes match.
    httpPort: 80
    httpsPort: 443
    priority: region.priority
    weight: region.weight
    enabledState: 'Enabled'
    enforceCertificateNameCheck: true
    sharedPrivateLinkResource: {
      privateLink: {
        id: region.privateLinkService
      }
      privateLinkLocation: region.name
      requestMessage: 'Front Door ${profileName}'
    }
  }
}]

resource route 'Microsoft.Cdn/profiles/afdEndpoints/routes@2024-02-01' = {
  parent: endpoint
  name: 'all'
  properties: {
    originGroup: {
      id: group.id
    }
    patternsToMatch: [
      '/*'
    ]
    supportedProtocols: [
      'Http'
      'Https'
    ]
    httpsRedirect: 'Enabled'
    // Private Link ends in the virtual network: see deploy/security.md for TLS to the tier.
    forwardingProtocol: 'HttpOnly'
    linkToDefaultDomain: 'Enabled'
    enabledState: 'Enabled'
  }
  dependsOn: [
    origins
  ]
}

resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = [for region in regions: {
  name: 'portolan-${region.name}'
  location: location
}]

resource credentials 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [for (region, i) in regions: {
  parent: identities[i]
  name: 'portolan'
  properties: {
    issuer: region.issuer
    subject: 'system:serviceaccount:${namespace}:${serviceAccount}'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}]

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: storageAccountName
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_ZRS'
  }
  properties: {
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    publicNetworkAccess: 'Disabled'
    networkAcls: {
      defaultAction: 'Deny'
      bypass: 'None'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: storage
  name: 'default'
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: 'portolan'
  properties: {
    publicAccess: 'None'
  }
}

// The same actions as publisher.json.
resource publisherRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(edge, profileName, 'publisher')
  properties: {
    roleName: 'Portolan publisher (${profileName})'
    description: 'Reads a Front Door profile and changes priority, weight and state of its origins.'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          'Microsoft.Cdn/profiles/read'
          'Microsoft.Cdn/profiles/origingroups/read'
          'Microsoft.Cdn/profiles/origingroups/origins/read'
          'Microsoft.Cdn/profiles/origingroups/origins/write'
          'Microsoft.Cdn/operationresults/read'
          'Microsoft.Cdn/operationresults/profileresults/read'
          'Microsoft.Cdn/operationresults/profileresults/origingroupresults/read'
          'Microsoft.Cdn/operationresults/profileresults/origingroupresults/originresults/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      edge
    ]
  }
}

// The same actions as operations.json: operations are reported at the resource group.
resource operationsRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(edge, profileName, 'operations')
  properties: {
    roleName: 'Portolan publisher: operations (${profileName})'
    description: 'Reads how far changes of Front Door are, where the service reports on them.'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          'Microsoft.Cdn/operationresults/read'
          'Microsoft.Cdn/operationresults/profileresults/read'
          'Microsoft.Cdn/operationresults/profileresults/origingroupresults/read'
          'Microsoft.Cdn/operationresults/profileresults/origingroupresults/originresults/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      edge
    ]
  }
}

resource mayPublish 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (region, i) in regions: {
  scope: profile
  name: guid(profile.id, region.name, 'publisher')
  properties: {
    roleDefinitionId: publisherRole.id
    principalId: identities[i].properties.principalId
    principalType: 'ServicePrincipal'
  }
}]

resource mayPoll 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (region, i) in regions: {
  name: guid(edge, region.name, 'operations')
  properties: {
    roleDefinitionId: operationsRole.id
    principalId: identities[i].properties.principalId
    principalType: 'ServicePrincipal'
  }
}]

resource mayVote 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (region, i) in regions: {
  scope: container
  name: guid(container.id, region.name, 'votes')
  properties: {
    roleDefinitionId: blobRole
    principalId: identities[i].properties.principalId
    principalType: 'ServicePrincipal'
  }
}]

@description('For listeners[].client_address.front_door_id.')
output frontDoorId string = profile.properties.frontDoorId

@description('For front_door.store.container.')
output container string = 'https://${storageAccountName}.blob.core.windows.net/portolan'

@description('Where clients connect, until a domain of yours leads there.')
output hostName string = endpoint.properties.hostName
